# SPDX-License-Identifier: GPL-3.0-or-later
"""A motion on other heads by geometry: known sliders, the head itself, other meshes and proportions, poor rigs."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from real_motion import default_head
from retarget_measures import measure, pseudo_inverse, speech_motion
from retarget_targets import ELSEWHERE, Made, Place, dual_mesh, made, source_face, without

from artalk_blender.errors import ArtalkError
from artalk_blender.retarget.face import Options, TargetFace
from artalk_blender.retarget.features import times
from artalk_blender.retarget.system import GAP, _parted
from artalk_blender.retarget.transfer import Held, Transfer, prepare, preparing
from artalk_blender.runner import Runner, Stopped

NO_PRIORS = Options(l1=0.0, l2=0.0, smoothness=0.0, symmetry=0.0, opposing=0.0)


@cache
def itself() -> tuple[Made, Transfer]:
    """The default head in its own mesh, its keys as wide as its own, with a jaw bone and the jaw's correctives."""
    head = made(Place(), remesh=None, jaw=True)
    bend = default_head().posedirs[:, :, 9:18].astype(np.float64).transpose(2, 0, 1)
    bend = bend[np.abs(bend).max((1, 2)) > 0.0]
    face = head.face
    face = replace(face, names=(*face.names, *(f"bend {k}" for k in range(len(bend)))),
                   deltas=np.concatenate([face.deltas, bend]).astype(np.float32),
                   limits=np.tile([-10.0, 10.0], (len(face.names) + len(bend), 1)))
    return replace(head, face=face), prepare(source_face(), face)


@cache
def elsewhere() -> tuple[Made, Transfer]:
    head = made(ELSEWHERE)
    return head, prepare(source_face(), head.face)


def test_known_sliders_are_found_again() -> None:
    face = itself()[0].face
    keys = np.array([index for index, name in enumerate(face.names)
                     if not name.startswith(("eyeLook", "tongue", "bend")) and name not in ("mouthRight", "jawRight")])
    random = np.random.default_rng(0)
    known = random.uniform(0.0, 0.9, (60, len(keys))) * (random.random((60, len(keys))) < 0.3)
    names = [face.names[key] for key in keys]
    known[:, names.index("jawOpen")] += 0.1  # and never closed further than it is open
    known[:, names.index("mouthClose")] = np.minimum(known[:, names.index("mouthClose")],
                                                     0.8 * known[:, names.index("jawOpen")])
    motion = np.zeros((60, 106), np.float32)
    motion[:, keys] = known
    only = replace(face, jaw=None, names=tuple(names), deltas=face.deltas[keys],
                   limits=np.tile([0.0, 1.0], (len(keys), 1)))
    transfer = prepare(source_face(), only, options=NO_PRIORS)
    assert np.abs(transfer.solve(motion).weights - known).max() < 1e-3


@pytest.mark.parametrize("limits", [(-10.0, 10.0), (0.0, 1.0)])
def test_a_head_onto_itself(limits: tuple[float, float]) -> None:
    """Lips that cross included: what the target can do as it is, contact must not pull away from."""
    head, transfer = itself()
    if limits == (0.0, 1.0):
        wide = np.array([name.startswith("bend") for name in head.face.names])
        transfer = prepare(source_face(), replace(head.face, limits=np.where(wide[:, None], 10.0 * np.array([-1, 1]),
                                                                             np.array(limits))))
    motion = speech_motion()
    assert times(motion, transfer.system._field_rows[GAP])[0].min() < -1.0
    solved = transfer.solve(motion)
    assert solved.error_mm.mean() < 0.05 and solved.error_mm.max() < 0.1
    # the key jawOpen does nearly the same as the bone, and may take some of it over
    assert solved.jaw is not None and np.abs(solved.jaw - motion[:, 103]).max() < 0.04


@pytest.mark.parametrize("kind", ["clicked", "guessed", "coarse"])
def test_onto_another_head(kind: str) -> None:
    head, transfer = elsewhere()
    if kind == "coarse":  # no vertex on the line where the lips meet, and long edges beside the mouth
        head = made(ELSEWHERE, remesh=dual_mesh)
        transfer = prepare(source_face(), head.face)
    if kind == "guessed":
        head = made(ELSEWHERE, marks=False)
        transfer = prepare(source_face(), head.face)
        assert "guessed" in transfer.notes[0]
    motion = speech_motion()
    solved = transfer.solve(motion)
    found = measure(head, ELSEWHERE, motion, solved.weights)
    assert found.correlation > 0.98 and found.closure < 0.5 and found.jerk < 1.2 and found.error < 1.0, found
    plain = measure(head, ELSEWHERE, motion, pseudo_inverse(transfer, motion))
    assert plain.error > found.error
    assert (solved.weights >= 0.0).all() and (solved.weights <= 1.0).all() and not solved.missing
    assert solved.weights.dtype == np.float32 and solved.error_mm.shape == (len(motion),) and solved.jaw is None


def test_lips_that_are_parted_at_rest_close_without_jitter() -> None:
    """A neutral unlike the source's: its mouth hangs open by 10 mm."""
    head, mix = elsewhere()[0], {"jawOpen": 0.3}
    share = np.array([mix.get(name, 0.0) for name in head.face.names])
    face = replace(head.face, neutral=head.face.neutral + np.tensordot(share, head.face.deltas.astype(np.float64), 1))
    parted = replace(head, face=face, measured=head.measured + np.tensordot(share, head.measured_deltas, 1))
    assert parted.aperture(np.zeros((1, len(share))))[0] > 0.009
    motion, transfer = speech_motion(), prepare(source_face(), face)
    found = measure(parted, ELSEWHERE, motion, transfer.solve(motion).weights)
    assert found.correlation > 0.98 and found.closure < 0.5 and found.jerk < 1.2, found
    assert np.median(transfer.solve(motion).error_mm) < 1.0, "it moves from where its lips lie as the source's do"
    loose = transfer.with_options(Options(contact=0.0, lip_shape=0.0)).solve(motion)
    assert measure(parted, ELSEWHERE, motion, loose.weights).closure > 3.0, "it is the contact that closes them"


def test_a_station_that_missed_its_lip_parts_nothing() -> None:
    lens = 2e-3 * np.sin(np.linspace(0.1, np.pi - 0.1, 15))
    assert np.allclose(_parted(lens, 1e-6), lens, atol=1e-4)
    for at in (0, 7, 14):
        stray = np.zeros(15)
        stray[at] = 1.5e-3
        assert not _parted(stray, 1e-6).any()


def test_reduced_right_hand_sides_are_those_of_the_vertices() -> None:
    system, motion = elsewhere()[1].system, speech_motion()[::10]
    rows = system.rows(system.wishes(motion))
    reduced = system.reduce(motion)
    for block, right in reduced.right.items():
        assert np.allclose(right, rows[block] @ system.project[block], rtol=1e-4, atol=1e-3), block
    assert np.allclose(reduced.gap, rows[GAP] + system.own_gap, atol=1e-3)


def test_a_turned_jaw_is_exact() -> None:
    head, transfer = itself()
    system, random = transfer.system, np.random.default_rng(0)
    x = np.concatenate([random.uniform(0.0, 0.4, (5, system.columns - 1)), random.uniform(0.0, 0.3, (5, 1))], 1)
    jaw, rows = head.face.jaw, transfer.found.samples.vertices
    moved = head.face.neutral[rows] + np.einsum("tk,kvx->tvx", x[:, :-1], head.face.deltas[:, rows].astype(np.float64))
    for frame, angle in enumerate(x[:, -1]):
        turn = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
        arm = moved[frame] - jaw.joint
        expected = moved[frame] + jaw.weight[rows, None] * (arm @ turn.T - arm) - head.face.neutral[rows]
        assert np.abs(system.reached(x[frame : frame + 1])[0] - 1e3 * expected).max() < 1e-3
    linear, beyond = x @ system.columns_rows[GAP], system.beyond(x, GAP)
    assert np.allclose(beyond @ system.project[GAP], system.turned_on_columns({GAP: 1.0})(x))
    assert np.abs(beyond).max() > 0.05 * np.abs(linear).max()


def test_what_a_target_cannot_do_is_named() -> None:
    face = without(made(Place(), remesh=None).face, "cheekPuff")
    transfer = prepare(source_face(), face)
    assert transfer.missing == ["No cheek puff on this rig."]
    motion = np.zeros((20, 106), np.float32)
    motion[:, source_face().names.index("cheekPuff")] = np.linspace(0.0, 1.0, 20)
    solved = transfer.solve(motion)
    assert solved.missing == transfer.missing and solved.by_channel["cheekPuff"] > 0.2
    quiet = transfer.solve(np.zeros((3, 106), np.float32))
    assert not quiet.missing and not quiet.by_channel and quiet.error_mm.max() < 1e-3


def test_one_key_for_both_eyes_blinks() -> None:
    face = made(Place(), remesh=None).face
    left, right = (face.names.index(f"eyeBlink{side}") for side in ("Left", "Right"))
    deltas = face.deltas.copy()
    deltas[left] += deltas[right]
    joined = without(replace(face, names=tuple("blink" if k == left else name for k, name in enumerate(face.names)),
                             deltas=deltas), "eyeBlinkRight")
    transfer = prepare(source_face(), joined)
    assert transfer.missing == []
    motion = np.zeros((5, 106), np.float32)
    motion[:, [left, right]] = np.linspace(0.0, 1.0, 5)[:, None]
    blink = transfer.solve(motion).weights[:, joined.names.index("blink")]
    assert np.abs(blink - motion[:, left]).max() < 0.05


def test_a_jaw_bone_alone_opens_and_closes() -> None:
    face = made(ELSEWHERE, jaw=True, keep=()).face
    transfer = prepare(source_face(), face)
    motion = speech_motion()
    jaw = transfer.solve(motion).jaw
    gap = transfer.reduce(motion).gap.mean(1)
    assert jaw is not None and np.corrcoef(jaw, gap)[0, 1] > 0.98 and jaw.max() > 0.05
    assert any("No mouth pucker" in sentence for sentence in transfer.missing)


def test_vowels_alone_still_close() -> None:
    head = made(ELSEWHERE)
    names = head.face.names
    mixes = {"Fcl_MTH_A": {"jawOpen": 0.8}, "Fcl_MTH_I": {"mouthStretchLeft": 0.7, "mouthStretchRight": 0.7},
             "Fcl_MTH_U": {"mouthPucker": 0.8, "jawOpen": 0.15}, "Fcl_MTH_O": {"jawOpen": 0.55, "mouthFunnel": 0.7}}
    mix = np.zeros((len(mixes), len(names)))
    for row, parts in enumerate(mixes.values()):
        for name, value in parts.items():
            mix[row, names.index(name)] = value
    face = replace(head.face, names=tuple(mixes), limits=np.tile([0.0, 1.0], (len(mixes), 1)),
                   deltas=np.tensordot(mix, head.face.deltas, 1).astype(np.float32))
    vowels = replace(head, face=face, measured_deltas=np.tensordot(mix, head.measured_deltas, 1))
    found = measure(vowels, ELSEWHERE, speech_motion(), prepare(source_face(), face).solve(speech_motion()).weights)
    assert found.correlation > 0.98 and found.closure < 0.5 and found.jerk < 1.2, found


def test_tongue_and_gaze_are_left_alone() -> None:
    solved = elsewhere()[1].solve(speech_motion())
    names = elsewhere()[0].face.names
    for index, name in enumerate(names):
        if name.startswith(("eyeLook", "tongue")):
            assert not solved.weights[:, index].any(), name


def test_other_strengths_without_preparing_again() -> None:
    _, transfer = elsewhere()
    reduced = transfer.reduce(speech_motion())
    start = transfer.weights(reduced)
    stronger = transfer.with_options(Options(smoothness=20.0))
    assert stronger.system is transfer.system
    full, live = stronger.weights(reduced), stronger.weights(reduced, start, live=True)
    shown = transfer.system.shown
    away = transfer.system.reached(live, shown) - transfer.system.reached(full, shown)
    assert np.linalg.norm(away, axis=2).max() < 0.15  # mm, while the slider moves
    assert np.abs(np.diff(full, 3, axis=0)).mean() < 0.9 * np.abs(np.diff(start, 3, axis=0)).mean()


@pytest.mark.parametrize("jaw", [False, True])
def test_what_somebody_else_moves_is_made_up_for(jaw: bool) -> None:
    """A key is held at half of what was solved: the others do what they can of the rest, and lips still close."""
    head, transfer = itself() if jaw else elsewhere()
    motion = speech_motion()
    reduced = transfer.reduce(motion)
    free = transfer.weights(reduced)
    column = head.face.names.index("mouthPucker" if jaw else "jawOpen")
    held = Held(np.array([column]), 0.5 * free[:, [column]] + (0.2 if jaw else 0.0))
    found = transfer.weights(reduced, held=held)
    assert np.array_equal(found[:, [column]], held.values)
    unaware = free.copy()
    unaware[:, column] = held.values[:, 0]
    error = [transfer._error(reduced, x) for x in (found, unaware)]
    assert error[0].mean() < 0.75 * error[1].mean()
    closed = (reduced.gap <= 0.1).all(1)
    gaps = np.maximum(transfer.system.gaps(found), 0.0)[closed]
    assert closed.any() and np.percentile(gaps.mean(1), 95) < 0.5
    again = transfer.weights(reduced, free, live=True, held=held)
    assert np.array_equal(again[:, [column]], held.values)


def test_twice_the_same_slider_and_faces_turned_inside_out() -> None:
    head, face = elsewhere()[0], elsewhere()[0].face
    twice = replace(face, names=(*face.names, *(f"{name}.001" for name in face.names)),
                    triangles=face.triangles[:, ::-1], deltas=np.concatenate([face.deltas] * 2),
                    limits=np.concatenate([face.limits] * 2))
    other = prepare(source_face(), twice)
    assert any("inwards" in note for note in other.notes)
    weights = other.solve(speech_motion()).weights
    joined = weights[:, :52] + weights[:, 52:]
    double = replace(head, face=replace(face, limits=face.limits * 2))
    assert measure(double, ELSEWHERE, speech_motion(), joined).closure < 0.5


@pytest.mark.parametrize(("spoil", "says"), [
    (lambda face: replace(face, names=(), deltas=face.deltas[:0], limits=face.limits[:0]), "no shape keys and no jaw"),
    (lambda face: replace(face, deltas=0 * face.deltas), "moves anything"),
    (lambda face: replace(face, neutral=face.neutral * np.nan), "no numbers"),
    (lambda face: replace(face, triangles=face.triangles[:0]), "no faces"),
    (lambda face: replace(face, limits=face.limits[:, ::-1]), "above its largest"),
    (lambda face: replace(face, deltas=face.deltas[:1], names=face.names[:1], limits=face.limits[:1], landmarks={}),
     "could not be told"),
])  # fmt: skip
def test_targets_that_cannot_be_get_a_sentence(spoil, says: str) -> None:
    face: TargetFace = spoil(made(Place(), remesh=None).face)
    with pytest.raises(ArtalkError, match=says) as caught:
        prepare(source_face(), face)
    assert caught.value.remedy


def test_a_target_whose_mouth_nothing_opens_says_so() -> None:
    transfer = prepare(source_face(), made(ELSEWHERE, keep=(0, 7, 43)).face)
    assert any("contact" in note for note in transfer.notes)
    assert np.isfinite(transfer.solve(speech_motion()).weights).all()


def run_out(runner: Runner) -> None:
    while not runner.advance(0.01):
        pass


def test_preparing_can_be_stopped() -> None:
    shares: list[float] = []
    runner = Runner(preparing(source_face(), elsewhere()[0].face, progress=lambda share, what: shares.append(share)))
    while len(shares) < 4:
        runner.advance(0.01)
    runner.stop()
    with pytest.raises(Stopped):
        run_out(runner)
    assert shares == sorted(shares) and shares[-1] < 1.0
