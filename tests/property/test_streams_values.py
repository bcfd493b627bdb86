"""Values: whatever comes in, a set takes all or none, and a snapshot never changes."""

from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import TexbridgeError
from bridge.streams.values import Values, check_value, clamp_value
from bridge.types import COMPONENTS, ParameterSpec, ParameterType

SPECS = tuple(
    ParameterSpec(kind, kind, ParameterType(kind), default, minimum=low, maximum=high, choices=("a", "b"))
    for kind, default, low, high in [
        ("int", 1, -5, 5),
        ("float", 0.5, 0.0, 1.0),
        ("bool", False, None, None),
        ("string", "", None, None),
        ("choice", "a", None, None),
        ("seed", 0, None, None),
        ("color", (0.0, 0.0, 0.0, 1.0), None, None),
        ("vec3", (0.0, 0.0, 0.0), -1.0, None),
        ("image", "", None, None),
    ]
)

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-6, 6)
    | st.floats()
    | st.floats(0, 1)
    | st.text(max_size=8)
    | st.text(st.characters(), max_size=4)
    | st.sampled_from(["a", "b", "#ff0000", "#ff000080", "\ud800", 10**500, -(10**500)])
    | st.binary(max_size=8)
)
raws = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner), max_leaves=8
)
names = st.sampled_from([spec.name for spec in SPECS]) | st.text(max_size=5)


def is_value_of(spec: ParameterSpec, value: object) -> bool:
    """Tell, from the type table alone, whether `value` may stand for `spec`."""
    low = float("-inf") if spec.minimum is None else spec.minimum
    high = float("inf") if spec.maximum is None else spec.maximum
    match spec.type:
        case ParameterType.INT:
            return type(value) is int and low <= value <= high
        case ParameterType.SEED:
            return type(value) is int and 0 <= value < 2**64
        case ParameterType.FLOAT:
            return type(value) is float and low <= value <= high
        case ParameterType.BOOL:
            return type(value) is bool
        case ParameterType.STRING:
            return type(value) is str and value.encode() is not None
        case ParameterType.CHOICE:
            return value in spec.choices
        case ParameterType.COLOR:
            return (
                type(value) is tuple and len(value) == 4 and all(type(one) is float and 0 <= one <= 1 for one in value)
            )
        case ParameterType.VEC3:
            return (
                type(value) is tuple
                and len(value) == COMPONENTS[spec.type]
                and all(type(one) is float and low <= one <= high for one in value)
            )
        case _:
            return hasattr(value, "sha256")


@given(st.sampled_from(SPECS), raws)
def test_a_raw_value_is_checked_or_refused_with_words(spec, raw):
    for check in (check_value, clamp_value):
        try:
            value = check(spec, raw)
        except TexbridgeError as error:
            refused = error
        else:
            assert is_value_of(spec, value)
            assert check_value(spec, value) == value
            continue
        assert 300 < refused.code < 500
        assert refused.field == spec.name
        refused.message.encode()
        str(refused.value).encode()


@given(
    st.lists(st.tuples(st.dictionaries(names, raws, max_size=3), st.booleans(), st.integers(0, 3), st.integers(0, 9)))
)
def test_all_or_none_and_revisions_only_grow(sets):
    values = Values(SPECS)
    for params, clamp, session, client_time in sets:
        before = values.snapshot()
        kept = dict(before.values), dict(before.client_times)
        try:
            changed = values.set(params, session=session, client_time=client_time, clamp=clamp)
        except TexbridgeError:
            assert values.snapshot() is before
        else:
            after = values.snapshot()
            assert after.revision == before.revision + bool(changed)
            assert set(changed) == {name for name in after.values if after.values[name] != before.values[name]}
            assert set(changed) <= params.keys()
            if client_time:
                assert after.client_times[session] == client_time
        assert (dict(before.values), dict(before.client_times)) == kept
        assert all(spec.type is ParameterType.IMAGE or is_value_of(spec, values[spec.name]) for spec in SPECS)
