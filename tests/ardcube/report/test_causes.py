"""Failed chunks by cause: scenes, similar errors, lost workers, records of earlier versions, bounded memory."""

from __future__ import annotations

import time

from ardcube.ledger.record import Attempt
from ardcube.planning.jobs import ChunkKey
from ardcube.report.causes import LOST_WORKER, Cause, CauseCounter


def key(col: int, period: str = "2023-01") -> ChunkKey:
    return ChunkKey(period, 0, col)


def failed(error: str, permanent: bool = True, **scenes: str) -> Attempt:
    return Attempt("2023-01-01T00:00:00+00:00", "here", 1.0, error, permanent, scenes)


def bad_scene(scene: str, problem: str) -> Attempt:
    return failed(f"SceneError: {problem}", **{scene: problem})


def causes_of(*attempts: Attempt | None, list_chunks: bool = False) -> tuple[Cause, ...]:
    counter = CauseCounter(list_chunks=list_chunks)
    for col, attempt in enumerate(attempts):
        counter.add(key(col), attempt)
    return counter.causes()


def test_a_scene_is_one_cause_however_its_messages_differ() -> None:
    truncated = bad_scene("S2A_1", "/a/B04.tif: truncated")
    damaged = [bad_scene("S2A_2", f"/b/B02.tif has a damaged block {number}, 3: x") for number in range(3)]
    most, least = causes_of(truncated, *damaged, damaged[0])
    assert (most.scene, most.chunks, most.similar, most.first) == ("S2A_2", 4, 2, "2023-01_y0000_x0001")
    assert str(most) == "scene S2A_2: /b/B02.tif has a damaged block 0, 3: x (and 2 similar errors)"
    assert (least.scene, least.chunks, least.similar) == ("S2A_1", 1, 0)
    assert str(least) == "scene S2A_1: /a/B04.tif: truncated"


def test_chunks_that_lost_pixels_show_the_share_that_allows_them_all() -> None:
    def lost(share: float) -> Attempt:
        return failed(f"LossError: the chunk has {share} less; publish the loss with --allow-loss {share:.3f} or more")

    (cause,) = causes_of(lost(0.3), lost(0.95))
    assert str(cause).endswith("--allow-loss 0.950 or more (and 1 similar error)")


def test_the_remedy_allows_as_many_scenes_as_a_chunk_may_need() -> None:
    counter = CauseCounter()
    counter.add(key(0, "2023-01"), bad_scene("S2A_1", "a"))
    counter.add(key(0, "2023-02"), bad_scene("S2A_2", "b"))
    assert {cause.remedy for cause in counter.causes()} == {"replace the file, or add --skip-bad-scenes 1"}
    counter.add(key(1, "2023-02"), bad_scene("S2A_3", "c"))
    assert {cause.remedy for cause in counter.causes()} == {"replace the file, or add --skip-bad-scenes 2"}


def test_a_chunk_counts_for_each_scene_that_it_could_not_read() -> None:
    both = failed("SceneError: 2 scenes cannot be read, more than skip-bad-scenes 1: ...", S2A_1="a", S2A_2="b")
    causes = {cause.scene: (cause.problem, cause.chunks) for cause in causes_of(both, bad_scene("S2A_2", "b"))}
    assert causes == {"S2A_1": ("a", 1), "S2A_2": ("b", 2)}


def test_errors_of_one_server_are_one_cause_and_name_no_scene() -> None:
    def busy(scene: str, status: int = 503) -> Attempt:
        problem = f"https://host/{scene}/B04.tif cannot be read: {status} at 0x7f{status}"
        return failed(f"TransientError: {problem}", permanent=False, **{scene: problem})

    (cause,) = causes_of(busy("S2A_20230101"), busy("S2B_20230102"), busy("S2B_20230102", 504))
    assert (cause.kind, cause.scene, cause.chunks, cause.similar, cause.remedy) == ("TransientError", None, 3, 2, "")
    (alone,) = causes_of(busy("S2A_20230101"), busy("S2A_20230101", 504))
    assert alone.scene == "S2A_20230101"
    assert "--skip-bad-scenes 1" in alone.remedy
    elsewhere = failed("TransientError: https://other/a.tif cannot be read: 503 at 0x7f503", permanent=False)
    assert len(causes_of(busy("S2A_20230101"), elsewhere)) == 2


def test_different_errors_are_different_causes_sorted_by_chunks() -> None:
    memory = failed("KilledWorker: 4 workers died; set --memory-limit")
    access = failed("AccessError: https://host: 403; set AWS_PROFILE")
    kinds = [(cause.kind, cause.chunks) for cause in causes_of(memory, access, access, None)]
    assert kinds == [("AccessError", 2), ("KilledWorker", 1), ("", 1)]
    assert causes_of(None)[0].problem == LOST_WORKER


def test_records_of_earlier_versions_do_not_name_the_scene_and_are_grouped_by_their_message() -> None:
    first, second = (failed(f"SceneError: /a/S2A_2023010{day}/B04.tif cannot be read") for day in (1, 2))
    assert [(cause.problem, cause.chunks) for cause in causes_of(first, second, second)] == [
        ("/a/S2A_20230102/B04.tif cannot be read", 2),
        ("/a/S2A_20230101/B04.tif cannot be read", 1),
    ]


def test_the_chunks_of_a_cause_are_listed_on_request() -> None:
    attempts = [bad_scene("S2A_1", "a")] * 2
    assert causes_of(*attempts)[0].keys == ()
    assert causes_of(*attempts, list_chunks=True)[0].keys == ("2023-01_y0000_x0000", "2023-01_y0000_x0001")


def test_a_new_cause_is_reported_once() -> None:
    counter = CauseCounter()
    attempts = [bad_scene("S2A_1", "a"), bad_scene("S2A_1", "b"), None, None]
    assert [counter.add(key(col), attempt) for col, attempt in enumerate(attempts)] == [True, False, True, False]
    assert len(counter) == 2


def test_very_many_causes_are_counted_in_little_time_and_memory() -> None:
    counter, began = CauseCounter(), time.process_time()
    for col in range(20_000):
        counter.add(key(col), bad_scene(f"S2A_{col}", f"/a/{col}.tif: " + "x" * 1000))
    causes = counter.causes()
    assert time.process_time() - began < 5
    assert len(causes) == 1001
    assert causes[0].problem.startswith("other errors")
    assert causes[0].chunks == 19_000
    assert sum(cause.chunks for cause in causes) == 20_000
    assert max(len(cause.problem) for cause in causes) == 300


def test_a_hostile_message_is_grouped_in_little_time_and_without_secrets() -> None:
    began = time.process_time()
    (cause,) = causes_of(failed("TransientError: " + "://" * 50_000 + "/" * 50_000))
    assert time.process_time() - began < 2
    (cause,) = causes_of(failed("TransientError: https://h/a.tif?sig=SECRET cannot be read"))
    assert "SECRET" not in str(cause)
