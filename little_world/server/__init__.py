"""One FastAPI app in front of local models, speaking the protocols of the services they stand in for.

    python -m little_world.server --port 8000      mini-vlm at http://127.0.0.1:8000/v1, mini-sd at .../sdapi/v1,
                                                   mini-motion at .../v1/videos

One router module a protocol, one engine module a model. `LocalServer` runs the app inside this process.
"""

_HOME = {"create_app": "app", "LocalServer": "local", "shared_server": "local"}

__all__ = list(_HOME)


def __getattr__(name: str):
    """FastAPI and PyTorch are imported when a server is wanted, not with the package."""
    if name in _HOME:
        from importlib import import_module

        return getattr(import_module(f".{_HOME[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
