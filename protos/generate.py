"""Generates `build/stubs` (Python) and `build/image.binpb` (for buf), when the protos changed.

protovalidate ships its rules as a descriptor, not as a `.proto` file: it goes to protoc as a
descriptor set beside the well-known types that it imports.
"""

import hashlib
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from google.protobuf import (
    any_pb2,
    descriptor_pb2,
    duration_pb2,
    empty_pb2,
    field_mask_pb2,
    timestamp_pb2,
)
from grpc_tools import protoc
from protovalidate._gen.buf.validate import validate_pb

PROTOS = Path(__file__).parent
BUILD = PROTOS.parent / "build"
VALIDATE = "buf/validate/validate.proto"
_BIN = Path(sys.executable).parent
_PLUGINS = ("protoc-gen-mypy", "protoc-gen-mypy_grpc")


def main() -> None:
    """Generate, unless it was done from exactly these inputs.

    `--image-of REVISION FILE` writes the image of another revision's protos instead.
    """
    if sys.argv[1:2] == ["--image-of"]:
        _image_of(*sys.argv[2:])
        return
    sources = sorted(str(path.relative_to(PROTOS)) for path in PROTOS.glob("tessera/**/*.proto"))
    stamp, digest = BUILD / "protos.sha256", _digest(sources)
    if stamp.exists() and stamp.read_text() == digest:
        return
    stubs = BUILD / "stubs"
    shutil.rmtree(stubs, ignore_errors=True)
    stubs.mkdir(parents=True)
    _protoc(
        *_paths(PROTOS),
        f"--python_out={stubs}",
        f"--grpc_python_out={stubs}",
        f"--mypy_out=quiet:{stubs}",
        f"--mypy_grpc_out=quiet:{stubs}",
        *sources,
        VALIDATE,
    )
    _write_image(PROTOS, sources, BUILD / "image.binpb")
    stamp.write_text(digest)


def _image_of(revision: str, target: str) -> None:
    """The image of the protos as they were; of today's when they were not there yet."""
    with tempfile.TemporaryDirectory() as directory:
        archive = ["git", "archive", revision, "protos"]
        packed = subprocess.run(archive, cwd=PROTOS.parent, capture_output=True, check=False)
        if packed.returncode:
            print(f"{revision} has no protos: nothing to break.")
            shutil.copy(BUILD / "image.binpb", target)
            return
        subprocess.run(["tar", "-x", "-C", directory], input=packed.stdout, check=True)
        protos = Path(directory) / "protos"
        sources = sorted(
            str(path.relative_to(protos)) for path in protos.glob("tessera/**/*.proto")
        )
        _write_image(protos, sources, Path(target))


def _write_image(protos: Path, sources: list[str], target: Path) -> None:
    image = f"--descriptor_set_out={target}"
    _protoc(*_paths(protos), "--include_imports", "--include_source_info", image, *sources)


def _paths(protos: Path) -> list[str]:
    imports = BUILD / "imports.binpb"
    imports.write_bytes(_imported_descriptors())
    return [f"--descriptor_set_in={imports}", f"-I{protos}", f"-I{_site_packages('google.api')}"]


def _digest(sources: list[str]) -> str:
    versions = f"{version('grpcio-tools')} {version('mypy-protobuf')} {sys.version}".encode()
    contents = [(PROTOS / source).read_bytes() for source in sources]
    names = "\n".join(sources).encode()
    return hashlib.sha256(
        b"\0".join([versions, Path(__file__).read_bytes(), names, *contents])
    ).hexdigest()


def _imported_descriptors() -> bytes:
    rules = descriptor_pb2.FileDescriptorProto.FromString(validate_pb.desc().proto.to_binary())
    known = [any_pb2, descriptor_pb2, duration_pb2, empty_pb2, timestamp_pb2, field_mask_pb2]
    files = descriptor_pb2.FileDescriptorSet()
    for module in known:
        module.DESCRIPTOR.CopyToProto(files.file.add())
    files.file.append(rules)
    return files.SerializeToString()


def _site_packages(module: str) -> Path:
    spec = find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(f"The Python package {module} is missing: run `make env`.")
    return Path(spec.submodule_search_locations[0]).parents[1]


def _protoc(*arguments: str) -> None:
    plugins = [
        f"--plugin={name}={_BIN / name}" for name in ("protoc-gen-mypy", "protoc-gen-mypy_grpc")
    ]
    if protoc.main(["protoc", *plugins, *arguments]):
        raise SystemExit("The protos do not compile: see protoc's message above.")


if __name__ == "__main__":
    main()
