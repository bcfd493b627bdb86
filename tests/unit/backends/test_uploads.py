"""Names of uploaded files: when one is used again, and when it may not be."""

from bridge.backends.uploads import MOST_NAMES, RING, UploadRing


def up(ring, owner, digest, user):
    """Bring something up and give the name."""
    slot = ring.take(owner, user)
    ring.went_up(slot, digest, f"folder/{slot.name}")
    return slot.name


def test_a_camera_goes_round_in_three_names():
    ring = UploadRing("t")
    names = []
    for frame in range(9):
        names.append(up(ring, "camera", f"frame {frame}", frame))
        ring.release(frame - 1)  # the one before ran meanwhile
    assert names == [f"t_{frame % RING}" for frame in range(9)]
    assert len(ring) == RING


def test_a_picture_that_stays_is_found_and_no_camera_takes_its_name():
    ring = UploadRing("t")
    mask = up(ring, "mask", "white", 0)
    ring.release(0)
    for frame in range(1, 20):
        up(ring, "camera", f"frame {frame}", frame)
        found = ring.find("white", frame)
        assert found is not None
        assert (found.name, found.stored) == (mask, f"folder/{mask}")
        ring.release(frame)


def test_no_name_that_a_prompt_may_still_read():
    ring = UploadRing("t")
    names = [up(ring, "camera", f"{user}", user) for user in range(10)]
    assert len(set(names)) == 10
    ring.release(4)
    assert up(ring, "camera", "10", 10) == names[4]
    assert up(ring, "camera", "11", 11) not in names


def test_what_goes_up_now_is_neither_found_nor_taken():
    ring = UploadRing("t")
    slot = ring.take("camera", 1)
    slot.digest = "half"
    ring.release(1)
    assert ring.find("half", 2) is None
    assert ring.take("camera", 2) is not slot


def test_a_failed_upload_leaves_a_name_that_comes_last():
    ring = UploadRing("t")
    first, second, third = (ring.take("camera", user) for user in (1, 2, 3))
    ring.went_up(second, "b", "b")
    ring.went_up(third, "c", "c")
    ring.failed(first, 1)
    ring.release(2)
    ring.release(3)
    assert ring.find("", 4) is None, "nobody knows what lies there"
    assert ring.take("camera", 4) is second
    assert ring.take("camera", 5) is third
    assert ring.take("camera", 6) is first
    assert len(ring) == 3


def test_a_file_that_may_be_gone_is_not_found():
    ring = UploadRing("t")
    up(ring, "a", "one", 1)
    up(ring, "a", "two", 2)
    ring.release(1, trusted=False)
    ring.release(2)
    assert ring.find("one", 3) is None
    assert ring.find("two", 3) is not None
    ring.forget_files()
    assert ring.find("two", 4) is None


def test_names_of_those_who_are_gone_are_for_others():
    ring = UploadRing("t")
    for user in range(3):
        up(ring, "gone", f"{user}", user)
        ring.release(user)
    ring.forget_owner("gone")
    assert [up(ring, "new", f"new {user}", user) for user in (10, 11, 12)] == ["t_0", "t_1", "t_2"]
    assert len(ring) == 3


def test_names_are_bounded_whoever_asks():
    ring = UploadRing("t")
    for owner in range(MOST_NAMES + 50):
        up(ring, owner, f"{owner}", owner)
        ring.release(owner)
    assert len(ring) == MOST_NAMES
    assert ring.find(f"{MOST_NAMES + 49}", -1) is not None
    assert ring.find("0", -1) is None
