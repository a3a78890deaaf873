"""What the synchronous twins have in common."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import update_wrapper, wraps
from types import FunctionType
from typing import TYPE_CHECKING, Any, TypeVar

from tframex.errors import ConfigurationError
from tframex.sync import _bridge

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Facade", "mirrors", "unwrap"]

C = TypeVar("C", bound=type)


class Facade:
    """Holds the asynchronous object that does the work; what it has beyond its class is passed through."""

    _async: Any

    @classmethod
    def _of(cls, target: Any) -> Self:
        facade = object.__new__(cls)
        facade._async = target
        return facade

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not cls.__module__.startswith("tframex."):
            raise ConfigurationError(
                f"{cls.__name__} cannot be a subclass of a tframex.sync class, which only hands calls on. Subclass the "
                "asynchronous class of the same name and make an object of it synchronous with tframex.sync.blocking()."
            )

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "_async":
            object.__setattr__(self, name, value)
        else:
            setattr(self._async, name, value)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return synchronous(getattr(self._async, name))

    def __repr__(self) -> str:
        return f"sync.{self._async!r}"


def synchronous(value: Any) -> Any:
    """A coroutine function or async generator function made callable without a loop; anything else as it is."""
    if inspect.iscoroutinefunction(value):

        @wraps(value)
        def run(*args: Any, **kwargs: Any) -> Any:
            return _bridge.run(lambda: value(*args, **kwargs))

        return run
    if inspect.isasyncgenfunction(value):

        @wraps(value)
        def iterate(*args: Any, **kwargs: Any) -> Any:
            return _bridge.iterate(lambda: value(*args, **kwargs))

        return iterate
    return value


def unwrap(
    value: Any, kind: type | tuple[type, ...], name: str, such_as: str = "model (such as tframex.sync.VLLMModel)"
) -> Any:
    """The asynchronous object behind a synchronous one; an asynchronous one is taken as it is."""
    target = value._async if isinstance(value, Facade) else value
    if not isinstance(target, kind):
        raise ConfigurationError(f"{name} must be a tframex.sync {such_as}, not {type(value).__name__}")
    return target


def mirrors(original: type) -> Callable[[C], C]:
    """Give a class and its methods the docstrings of its asynchronous original."""

    def decorate(cls: C) -> C:
        cls.__doc__ = original.__doc__
        for name in dir(cls):
            member = inspect.getattr_static(cls, name)
            source = getattr(original, name, None)
            if name.startswith("_") or source is None or source.__doc__ == member.__doc__:
                continue
            if name not in vars(cls) and inspect.isfunction(member):
                # Inherited here, but the original has its own docstring.
                copy = FunctionType(
                    member.__code__, member.__globals__, argdefs=member.__defaults__, closure=member.__closure__
                )
                copy.__kwdefaults__ = member.__kwdefaults__
                member = update_wrapper(copy, member)
                setattr(cls, name, member)
            if isinstance(member, classmethod):
                # A classmethod keeps a copy of the docstring its function had when it was wrapped.
                member.__func__.__doc__ = source.__doc__
                setattr(cls, name, classmethod(member.__func__))
            else:
                member.__doc__ = source.__doc__
        return cls

    return decorate
