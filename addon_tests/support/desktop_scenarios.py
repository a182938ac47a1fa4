# SPDX-License-Identifier: GPL-3.0-or-later
"""What users do, each a generator that drives a desktop Blender (`desktop_driver.py`) and looks at what came of it."""

from __future__ import annotations

import time
from pathlib import Path

import bpy
from desktop_avatar import frames_everywhere, play_rounds, watched_playback
from desktop_driver import CALM, Desk, Steps, extension
from desktop_happenings import interrupted  # noqa: F401  a scenario, too
from desktop_retarget import retarget_by_clicks  # noqa: F401
from desktop_steps import (
    GENERATE,
    add_head,
    begin,
    busy,
    curves_of,
    generate,
    halves,
    open_speech,
    played,
    rig,
    row_of,
    settings_of,
    speak,
    start_playing,
    stop_playing,
    takes,
    use_language,
)
from desktop_together import speak_together  # noqa: F401


def first_use(desk: Desk) -> Steps:
    """From an empty scene to a playing head, four clicks; seconds until each was done, pictures and looking for buttons
    not counted, and how many of them processors worked for Blender."""
    began, worked = time.monotonic(), time.process_time()
    passed: dict[str, list[float]] = desk.facts.setdefault("seconds", {})

    def note(what: str) -> None:
        besides = desk.photographed + desk.searched, desk.worked_besides
        passed[what] = [round(time.monotonic() - began - besides[0], 1),
                        round(time.process_time() - worked - besides[1], 1)]

    yield from begin(desk)
    yield from desk.shot("empty")
    yield from add_head(desk)
    note("head")
    yield from desk.shot("head")
    yield from open_speech(desk, desk.arguments[0])
    note("speech")
    yield from desk.shot("ready", "UI")
    yield from desk.click(GENERATE)
    note("generate")
    yield from desk.until(lambda: halves() or takes(), "keys")
    yield from desk.shot("running")
    yield from desk.until(lambda: not busy(), "the job's end")
    assert len(takes()) == 1 and not halves()
    note("keyed")
    yield from desk.turns()
    yield from desk.shot("generated")
    yield from desk.key("SPACE")
    screen = desk.window.screen
    frame = bpy.context.scene.frame_current
    yield from desk.until(lambda: screen.is_animation_playing and bpy.context.scene.frame_current > frame, "play")
    note("playing")
    yield from desk.until(lambda: bpy.context.scene.frame_current > frame + 10, "ten frames")
    yield from desk.key("SPACE")
    yield from desk.until(lambda: not screen.is_animation_playing, "the end of playing")
    yield from desk.click(r"shading\.color_type|\.color_type")  # Show Painted Skin
    yield from desk.until(lambda: desk.area().spaces.active.shading.color_type == "TEXTURE", "the painted skin")
    bpy.context.scene.frame_set(29)
    yield from desk.shot("played")


def tuning(desk: Desk) -> Steps:
    """A slider is dragged and the keys follow; one undo takes that back."""
    yield from begin(desk)
    yield from add_head(desk)
    yield from open_speech(desk, desk.arguments[0])
    take = yield from generate(desk)
    name = take.name
    yield from desk.open_panel("tune", above=r"artalk\.simplify_take\(")
    before = settings_of(name)["intensity"]
    yield from desk.drag(r"artalk\.intensity", 60, across=0.75)
    yield from desk.until(lambda: settings_of(name)["intensity"] != before, "the take's new tuning")
    assert abs(settings_of(name)["intensity"] - bpy.context.scene.artalk.intensity) < 1e-6
    yield from desk.shot("tuned")
    yield from desk.key("Z", ctrl=True)
    yield from desk.until(lambda: settings_of(name)["intensity"] == before, "the tuning as it was")
    assert bpy.context.scene.artalk.intensity == before


def work_with_takes(desk: Desk) -> Steps:
    """Copy, audition, tune while it plays, rename, make a range again, push to the NLA, remove; all can be undone."""
    yield from begin(desk)
    yield from add_head(desk)
    yield from open_speech(desk, desk.arguments[0])
    first = (yield from generate(desk)).name
    yield from desk.beside(row_of(first), r"artalk\.duplicate_take\(")
    yield from desk.click()
    second = next(take.name for take in takes() if take.name != first)
    assert played() == first

    yield from desk.open_panel("tune", above=r"artalk\.simplify_take\(")
    for button in (r"artalk\.intensity", row_of(second)):
        yield from desk.find(button, across=0.75 if button.endswith("y") else 0.35)  # searching is slow while it plays
    yield from start_playing(desk)
    yield from desk.click(row_of(second))
    yield from desk.until(lambda: played() == second, "the other take")
    yield from desk.drag(r"artalk\.intensity", 40, across=0.75)
    yield from desk.until(lambda: settings_of(second)["intensity"] != 1.0, "the take's new tuning")
    assert settings_of(first)["intensity"] == 1.0 and desk.window.screen.is_animation_playing
    yield from stop_playing(desk)

    yield from desk.beside(row_of(second), r"artalk\.rename_take\(")
    yield from desk.click()
    yield from desk.write("louder")
    for _ in range(2):  # the field, the dialog
        yield from desk.press("RET")
        yield from desk.turns()
    yield from desk.until(lambda: "louder" in bpy.data.actions, "the new name")

    bpy.context.scene.frame_set(40)
    yield from desk.shot("takes", "UI", above=row_of(first))
    yield from desk.click(row_of(first))
    scene = bpy.context.scene
    scene.use_preview_range, scene.frame_preview_start, scene.frame_preview_end = True, 40, 90
    yield from desk.open_panel("range", above=r"artalk\.simplify_take\(")
    yield from desk.click(r"artalk\.regenerate_range\(")
    yield from desk.until(lambda: not busy() and len(takes()) == 3, "the take with the new range")
    yield from desk.turns()
    yield from desk.shot("range", "UI", above=row_of(first))
    scene.use_preview_range = False
    made = next(take.name for take in takes() if take.name not in (first, "louder"))
    assert played() == made
    yield from desk.click(r"artalk\.push_take_to_nla\(", across=0.7)
    yield from desk.until(lambda: rig().animation_data.nla_tracks, "a track in the NLA")
    yield from desk.beside(row_of("louder"), r"artalk\.remove_take\(")
    yield from desk.click()
    yield from desk.until(lambda: "louder" not in bpy.data.actions, "the take's removal")
    assert {take.name for take in takes()} == {first, made}
    yield from desk.key("Z", ctrl=True)
    yield from desk.until(lambda: "louder" in bpy.data.actions, "the removed take")
    bpy.context.window_manager.print_undo_steps()


def check_and_mend(desk: Desk) -> Steps:
    """Lips that are late are found, marked on the timeline and mended by one click."""
    yield from begin(desk)
    yield from add_head(desk)
    yield from open_speech(desk, desk.arguments[0])
    name = (yield from generate(desk)).name
    yield from desk.open_panel("tune", above=r"artalk\.simplify_take\(")
    yield from desk.drag(r"artalk\.offset_ms", 150, steps=4, across=0.4)
    yield from desk.until(lambda: settings_of(name)["offset_ms"] > 100.0, "the offset")
    yield from desk.open_panel("check", above=r"artalk\.offset_ms")
    yield from desk.click(r"artalk\.check_lip_sync\(")
    yield from desk.until(lambda: not busy() and bpy.context.scene.timeline_markers, "markers")
    assert any("late" in marker.name for marker in bpy.context.scene.timeline_markers)
    yield from desk.find(r"artalk\.fix_sync_offset\(")
    yield from desk.shot("check")
    yield from desk.click(r"artalk\.fix_sync_offset\(")
    yield from desk.until(lambda: settings_of(name)["offset_ms"] < 60.0, "the mended offset")
    assert not bpy.context.scene.timeline_markers
    yield from desk.shot("mended", "UI")
    desk.facts["offset_ms"] = settings_of(name)["offset_ms"]


def manner_and_text(desk: Desk) -> Steps:
    """A line is typed and spoken in a preset's manner; another head, added from the search, takes over that manner."""
    yield from begin(desk)
    yield from add_head(desk)
    if extension("audio.speech").missing_reason():
        desk.facts["voices"] = False
        yield from open_speech(desk, desk.arguments[0])
    else:
        yield from speak(desk, "mama bought balloons")
    yield from desk.open_panel("style", above=r"artalk\.selected_strips")
    yield from desk.click(r"artalk\.style$")
    yield from desk.turns(2 * CALM)  # until the list is open
    for key in ("DOWN_ARROW", "DOWN_ARROW", "RET"):
        yield from desk.press(key)
        yield from desk.turns()
    style = bpy.context.scene.artalk.style
    assert style.startswith("preset:")
    first = yield from generate(desk)
    assert first["artalk_take"]["style"] == style
    yield from desk.shot("style", "UI", above=r"artalk\.style$")
    yield from desk.beside(r"artalk\.style$", r"artalk\.capture_style\(")
    yield from desk.click()
    yield from desk.until(lambda: bpy.context.scene.artalk.style.startswith("captured:"), "a captured style")

    yield from desk.key("F3")
    yield from desk.write("ARTalk Head")
    yield from desk.turns(4 * CALM)
    yield from desk.press("RET")
    yield from desk.until(lambda: len(bpy.data.armatures) == 2, "the other head")
    yield from desk.turns()
    other = bpy.context.object
    bpy.context.object.location.x = 0.3
    second = yield from generate(desk)
    assert second["artalk_take"]["style"] == "captured:ARTalk Head Rig"
    assert other.animation_data.action == second and rig().animation_data.action != second
    with desk.inside():
        bpy.ops.view3d.view_all()
    yield from desk.shot("two_heads")


def german(desk: Desk) -> Steps:
    """Blender in German: labels, sentences and errors are German, names of people's own things are not touched."""
    desk.facts["language"] = use_language("de")
    yield from begin(desk)
    yield from add_head(desk)
    yield from desk.shot("german", "UI")
    translate, said = bpy.app.translations.pgettext_iface, extension("language").said
    desk.facts["labels"] = {text: translate(text, context) for text, context in (
        ("Speech", "*"), ("Takes", "*"), ("Generate Motion", "Operator"), ("Rest in Pauses", "*"))}
    desk.facts["sentence"] = said("The strip “Speech” is gone. Add it again and generate once more.")
    try:
        bpy.ops.artalk.use_take(take="Speech")
    except RuntimeError as error:
        desk.facts["reason"] = str(error)
    bpy.context.preferences.view.language = "en_US"
    yield from desk.turns()
    desk.facts["english"] = said("No sound strip is chosen")


def retimed_and_simplified(desk: Desk) -> Steps:
    """A strip retimed in parts is listened to in another Blender, its take simplified; each a job that ends."""
    yield from begin(desk)
    yield from add_head(desk)
    yield from open_speech(desk, desk.arguments[0])
    strip = bpy.context.scene.sequence_editor.strips_all[0]
    for frame in (50, 70):
        strip.retiming_keys.add(timeline_frame=frame)
    strip.retiming_keys[1].timeline_frame = 80
    yield from desk.turns()
    take = yield from generate(desk)
    kept = take["artalk_take"].to_dict()
    desk.facts["heard"] = len(kept["times"]["frames"]) > 2 or kept["strip"].get("as_played", 0.0) == 1.0
    count = sum(len(curve.keyframe_points) for curve in curves_of(take))
    name = take.name
    del take, strip
    yield from desk.click(r"artalk\.simplify_take\(", across=0.3)
    yield from desk.until(lambda: not busy() and "simplified" in bpy.data.actions[name]["artalk_take"], "fewer keys")
    desk.facts["fewer"] = count / sum(len(curve.keyframe_points) for curve in curves_of(bpy.data.actions[name]))
    yield from desk.shot("simplified", "UI")


def show_avatar(desk: Desk) -> Steps:
    """The avatar in the view: it follows scrubbing and playback, never waits, goes with its switch; then its frames,
    in the compositor and in a film."""
    yield from begin(desk)
    yield from add_head(desk)
    yield from open_speech(desk, desk.arguments[0])
    yield from generate(desk)
    scene = bpy.context.scene
    settings = scene.artalk_avatar
    settings.size = 256
    preview = extension("gaussian.preview")
    yield from desk.open_panel("avatar", above=r"artalk\.simplify_take\(")
    yield from desk.open_panel("avatar_show", above=r"artalk\.export_splats\(")
    yield from play_rounds(desk, "without", [0])
    yield from stop_playing(desk)
    yield from desk.click(r"artalk\.preview_avatar\(")
    yield from desk.until(preview.is_on, "the preview")

    def shows(frame: int, whole: str = "") -> bool:
        return preview.current().planner.state == f"Avatar: frame {frame}{whole}"

    for frame in (25, 60):
        scene.frame_set(frame)
        yield from desk.until(lambda frame=frame: shows(frame), f"frame {frame} in full")
        yield from desk.shot(f"preview_{frame}")
    yield from watched_playback(desk, preview)

    scene.frame_set(25)
    settings.camera = "SCENE"
    yield from desk.until(lambda: preview.current().screen.is_whole and shows(25), "the avatar where the head stands")
    yield from desk.shot("preview_scene")
    settings.camera = "AVATAR"
    scene.frame_start, scene.frame_end = 22, 30
    yield from frames_everywhere(desk)
    yield from desk.click(r"artalk\.preview_avatar\(")
    yield from desk.until(lambda: not preview.is_on(), "the preview's end")
    yield from desk.shot("preview_off")
    bpy.ops.artalk.preview_avatar()
    assert preview.is_on()
    bpy.ops.wm.read_homefile()
    yield from desk.turns()
    assert not preview.is_on()


def error(desk: Desk) -> Steps:
    """A file that is no sound is a sentence, and nothing is added."""
    yield from begin(desk)
    yield from add_head(desk)
    yield from open_speech(desk, desk.arguments[0])
    editor = bpy.context.scene.sequence_editor
    assert editor is None or not len(editor.strips)
    yield from desk.shot("error")
    with desk.inside():
        assert bpy.ops.artalk.copy_report() == {"FINISHED"}
    said = bpy.context.window_manager.clipboard
    assert said.startswith("ARTalk for Blender") and str(Path.home()) not in said


def avatar(desk: Desk) -> Steps:
    """Render Avatar by a click, Esc after the first frame, once more to the end; the panel is photographed."""
    yield from begin(desk)
    yield from add_head(desk)
    keys = next(keys for keys in bpy.data.shape_keys if "jawOpen" in keys.key_blocks)
    jaw, scene = keys.key_blocks["jawOpen"], bpy.context.scene
    for frame, value in ((1, 0.0), (4, 0.8)):
        jaw.value = value
        jaw.keyframe_insert("value", frame=frame)
    scene.frame_start, scene.frame_end, scene.artalk_avatar.size = 1, 4, 128
    bpy.ops.wm.save_as_mainfile(filepath=str(desk.out / "avatar.blend"))
    yield from desk.turns()

    def files() -> list[Path]:
        return sorted((desk.out / "artalk_frames").rglob("*.exr"))

    yield from desk.open_panel("avatar", above=GENERATE)
    yield from desk.find(r"artalk\.render_avatar\(")
    yield from desk.shot("avatar", "UI")
    yield from desk.click(r"artalk\.render_avatar\(")
    yield from desk.until(lambda: busy() and files(), "a frame")
    yield from desk.shot("rendering", "UI")
    yield from desk.key("ESC")
    yield from desk.until(lambda: not busy(), "the stop")
    desk.facts["stopped_at"] = len(files())
    before = {path: path.stat().st_mtime_ns for path in files()}
    yield from desk.click(r"artalk\.render_avatar\(")
    yield from desk.until(lambda: not busy() and len(files()) == 4, "all frames")
    assert all(path.stat().st_mtime_ns == when for path, when in before.items())
