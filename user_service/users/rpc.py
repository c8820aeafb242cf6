"""UserService on the wire."""

from typing import Any

from tessera.access.v1 import access_pb2
from tessera.user.v1 import user_pb2, user_service_pb2, user_service_pb2_grpc

from kit import auth
from kit.clock import to_timestamp
from kit.database import Database
from kit.errors import InvalidArgument
from kit.idempotency import Once
from user_service.passwords import Passwords
from user_service.sealing import Seal
from user_service.users import operations
from user_service.users.domain import Role, User, UserChange, UserState

_CHANGEABLE = {"full_name", "state"}


class UserService(user_service_pb2_grpc.UserServiceServicer):
    """Organizers and the people who work for them."""

    def __init__(self, database: Database, passwords: Passwords, seal: Seal) -> None:
        self._database = database
        self._passwords = passwords
        self._seal = seal

    async def CreateUser(
        self, request: user_service_pb2.CreateUserRequest, _context: Any
    ) -> user_pb2.User:
        user = await operations.create_user(
            self._database,
            self._passwords,
            Once(self._seal.blinded(request), to_proto),
            organizer_name=request.organizer_name,
            email=request.email,
            password=request.password,
            full_name=request.full_name,
        )
        return to_proto(user)

    async def CreateMember(
        self, request: user_service_pb2.CreateMemberRequest, _context: Any
    ) -> user_pb2.User:
        user = await operations.create_member(
            self._database,
            self._passwords,
            Once(self._seal.blinded(request), to_proto),
            _actor(),
            email=request.email,
            password=request.password,
            full_name=request.full_name,
            role=Role(access_pb2.Role.Name(request.role).removeprefix("ROLE_")),
        )
        return to_proto(user)

    async def GetMe(self, _request: user_service_pb2.GetMeRequest, _context: Any) -> user_pb2.User:
        actor = _actor()
        return to_proto(await operations.get_user(self._database, actor, actor.user_id))

    async def GetUser(
        self, request: user_service_pb2.GetUserRequest, _context: Any
    ) -> user_pb2.User:
        actor = _actor()
        return to_proto(await operations.get_user(self._database, actor, request.user_id))

    async def ListUsers(
        self, request: user_service_pb2.ListUsersRequest, _context: Any
    ) -> user_service_pb2.ListUsersResponse:
        page = await operations.list_users(
            self._database,
            _actor(),
            page_size=request.page_size,
            page_token=request.page_token,
            email=request.email,
        )
        return user_service_pb2.ListUsersResponse(
            users=map(to_proto, page.users), next_page_token=page.next_page_token
        )

    async def ListMembers(
        self, request: user_service_pb2.ListMembersRequest, _context: Any
    ) -> user_service_pb2.ListMembersResponse:
        actor = _actor()
        page = await operations.list_users(
            self._database,
            actor,
            page_size=request.page_size,
            page_token=request.page_token,
            organizer_id=actor.organizer_id,
        )
        return user_service_pb2.ListMembersResponse(
            users=map(to_proto, page.users), next_page_token=page.next_page_token
        )

    async def UpdateUser(
        self, request: user_service_pb2.UpdateUserRequest, _context: Any
    ) -> user_pb2.User:
        user = await operations.update_user(
            self._database,
            _actor(),
            request.user_id,
            _change(request),
            request.if_match,
        )
        return to_proto(user)


def to_proto(user: User) -> user_pb2.User:
    """A user as the contract has it."""
    return user_pb2.User(
        id=user.id,
        organizer_id=user.organizer_id,
        organizer_name=user.organizer_name,
        email=user.email,
        full_name=user.full_name,
        role=access_pb2.Role.Value(f"ROLE_{user.role}"),
        state=user_pb2.UserState.Value(f"USER_STATE_{user.state}"),
        created_at=to_timestamp(user.created_at),
        updated_at=to_timestamp(user.updated_at),
        version=user.version,
    )


def _change(request: user_service_pb2.UpdateUserRequest) -> UserChange:
    """What the mask names; without a mask, what the request has (https://google.aip.dev/134)."""
    present = {field.name for field, _ in request.ListFields()} & _CHANGEABLE
    wanted = set(request.update_mask.paths) or present
    for name in sorted(wanted - present):
        if name not in _CHANGEABLE:
            raise InvalidArgument.of("update_mask", f"{name} cannot be changed")
        raise InvalidArgument.of(name, "this cannot be cleared")
    return UserChange(
        full_name=request.full_name if "full_name" in wanted else None,
        state=_state(request.state) if "state" in wanted else None,
    )


def _state(state: user_pb2.UserState.ValueType) -> UserState:
    return UserState(user_pb2.UserState.Name(state).removeprefix("USER_STATE_"))


def _actor() -> auth.Claims:
    actor = auth.current().user
    assert actor is not None, "the access rules let only signed-in users call this"
    return actor
