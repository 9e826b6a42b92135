"""Little World: a drawn world with ground truth for everything, and miniature models that live in it."""

from .scenes import (  # noqa: F401
    BACKGROUNDS,
    COLORS,
    HELD_OUT,
    KINDS,
    PLACES,
    RELATIONS,
    TIMES,
    Group,
    Scene,
    Thing,
    distinct_scenes,
    random_scene,
)

_LATER = {"draw": "drawing", "contact_sheet": "drawing", "load_gallery": "gallery", "Example": "gallery",
          "load_documents": "gallery", "load_charts": "gallery", "Sheet": "gallery",
          "load_clips": "clip_gallery", "ClipExample": "clip_gallery", "random_clip": "clips", "draw_clip": "clip_drawing",
          "clip_caption": "clip_captions", "sound_track": "clip_sound", "caption": "captions", "questions": "captions", "labels": "captions"}  # fmt: skip


def __getattr__(name: str):
    """Import what draws and loads only when it is used: `import little_world` stays light."""
    if name in _LATER:
        from importlib import import_module

        return getattr(import_module(f".{_LATER[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
