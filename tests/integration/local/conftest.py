"""The RabbitMQ that these tests share with all others of the run."""

from collections.abc import Iterator

import pytest

from tests.support.rabbitmq import url_for_tests


@pytest.fixture(scope="session")
def amqp_url(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[str]:
    with url_for_tests(tmp_path_factory.getbasetemp(), worker_id) as url:
        yield url
