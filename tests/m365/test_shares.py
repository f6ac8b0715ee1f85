"""Workers that share a limit: their claims never exceed it, restores go first, the dead are buried,
and the day is not spent by noon.
"""

from __future__ import annotations

import random

import pytest

from m365.graph.limits import SLOTS, UNITS, Limits, Part, Purpose, directory_cost
from m365.graph.shares import SKEW_S, Ask, Shared, give_back, grant_day, settle

MINUTE = Part(UNITS, 1_250, 60, 0.25, 0.5, kept=20, beside_restore=0.3)
LASTS_S = 90.0
NOW = 1_800_000_000.0
HUNGRY = Ask(10_000)


def claimed(shared: Shared, part: str = UNITS) -> int:
    return sum(claim.shares.get(part, 0) for claim in shared.claims.values())


def look(
    shared: Shared, me: str, purpose: Purpose, ask: Ask, now: float, part: Part = MINUTE
) -> int:
    return settle(shared, me, purpose, {part.name: ask}, [part], now, LASTS_S)[part.name].limit


def test_who_is_alone_gets_all_but_what_is_kept_for_restores() -> None:
    assert look(Shared(), "a", Purpose.BACKUP, HUNGRY, NOW) == 1_230


def test_a_restore_finds_something_at_once_and_most_of_it_when_the_others_have_looked() -> None:
    shared = Shared()
    held = look(shared, "a", Purpose.BACKUP, HUNGRY, NOW)
    assert look(shared, "r", Purpose.RESTORE, HUNGRY, NOW) == 20
    limit = look(shared, "a", Purpose.BACKUP, Ask(10_000, 100, held), NOW + 30)
    assert limit <= 0.3 * 1_250
    look(shared, "a", Purpose.BACKUP, Ask(10_000, 100, limit), NOW + 33)
    assert look(shared, "r", Purpose.RESTORE, HUNGRY, NOW + 35) >= 0.7 * 1_250
    assert claimed(shared) <= 1_250


def test_between_two_steps_of_a_restore_backups_do_not_rush_in() -> None:
    shared = Shared()
    look(shared, "r", Purpose.RESTORE, HUNGRY, NOW)
    give_back(shared, "r", {})
    assert look(shared, "a", Purpose.BACKUP, HUNGRY, NOW + 60) <= 0.3 * 1_250
    assert look(shared, "a", Purpose.BACKUP, HUNGRY, NOW + 130) == 1_230


def test_what_changed_goes_before_a_first_full_which_still_gets_a_tenth() -> None:
    shared = Shared()
    first = look(shared, "f", Purpose.FIRST, HUNGRY, NOW)
    change = 0
    for now in (NOW + 30, NOW + 33, NOW + 36):
        change = look(shared, "b", Purpose.BACKUP, Ask(10_000, 0, change), now)
        first = look(shared, "f", Purpose.FIRST, Ask(10_000, 50, first), now)
    change = look(shared, "b", Purpose.BACKUP, Ask(10_000, 0, change), NOW + 39)
    assert 100 <= first <= 150
    assert change >= 1_250 - 150 - 20


def test_a_claim_shrinks_only_to_what_was_really_used() -> None:
    shared = Shared()
    look(shared, "a", Purpose.BACKUP, HUNGRY, NOW)
    for name in ("b", "c", "d"):
        look(shared, name, Purpose.BACKUP, HUNGRY, NOW)
    assert look(shared, "a", Purpose.BACKUP, Ask(10_000, 900, 1_230), NOW + 30) == 900
    assert shared.claims["a"].shares[UNITS] == 1_230  # the record follows with the next look
    look(shared, "a", Purpose.BACKUP, Ask(10_000, 900, 900), NOW + 33)
    assert shared.claims["a"].shares[UNITS] == 900


def test_who_dies_leaves_what_it_may_have_used_to_whoever_looks_next() -> None:
    shared = Shared()
    look(shared, "dead", Purpose.BACKUP, HUNGRY, NOW)
    until = shared.claims["dead"].until
    before = settle(
        shared, "b", Purpose.BACKUP, {UNITS: HUNGRY}, [MINUTE], until + SKEW_S - 1, LASTS_S
    )
    assert before[UNITS].limit == 0
    after = settle(shared, "b", Purpose.BACKUP, {UNITS: HUNGRY}, [MINUTE], until + SKEW_S, LASTS_S)
    assert after[UNITS].inherited == [(until, 1_230)]
    assert after[UNITS].limit == 1_230
    assert set(shared.claims) == {"b"}


def test_who_leaves_in_order_leaves_the_moments_of_what_it_used() -> None:
    shared = Shared()
    look(shared, "a", Purpose.BACKUP, HUNGRY, NOW)
    give_back(shared, "a", {UNITS: [(NOW + 5, 300), (NOW + 20, 200)]})
    share = settle(shared, "b", Purpose.BACKUP, {UNITS: HUNGRY}, [MINUTE], NOW + 67, LASTS_S)
    assert share[UNITS].inherited == [(NOW + 20, 200)]  # the other cell counts no more


def test_slots_of_a_mailbox_are_never_more_than_four_with_one_for_who_has_claimed_none() -> None:
    slots = next(part for part in Limits().parts("mailbox") if part.name == SLOTS)
    shared = Shared()
    assert look(shared, "r", Purpose.RESTORE, Ask(9), NOW, slots) == 3
    shared = Shared()
    assert look(shared, "b", Purpose.BACKUP, Ask(3), NOW, slots) == 3
    assert look(shared, "r", Purpose.RESTORE, Ask(1), NOW, slots) == 1
    assert look(shared, "b", Purpose.BACKUP, Ask(3, 1, 3), NOW + 60, slots) == 3
    shared = Shared()
    assert look(shared, "b", Purpose.BACKUP, Ask(4, whole=True), NOW, slots) == 4


def test_whatever_workers_do_the_claims_never_exceed_the_limit() -> None:
    dice = random.Random(4)
    for _ in range(30):
        shared, now = Shared(), NOW
        held: dict[str, int] = {}
        used: dict[str, int] = {}
        for _ in range(200):
            now += dice.random() * 20
            me = f"w{dice.randrange(7)}"
            alive = me in shared.claims and shared.claims[me].until > now
            if not alive:
                held[me] = used[me] = 0
            ask = Ask(dice.randrange(2_000), used[me], held[me])
            if alive and dice.random() < 0.1:
                give_back(shared, me, {UNITS: [(now, used[me])]})
                continue
            purpose = Purpose(int(me[1]) % 3)
            share = settle(shared, me, purpose, {UNITS: ask}, [MINUTE], now, LASTS_S)[UNITS]
            assert claimed(shared) <= MINUTE.limit
            assert share.limit <= share.written == shared.claims[me].shares[UNITS]
            inherited = sum(units for _, units in share.inherited)
            held[me] = share.limit
            used[me] = min(
                share.limit, dice.randrange(used[me] + inherited, max(share.limit, 1) + 1)
            ) if used[me] + inherited <= share.limit else share.limit  # fmt: skip
            shared = Shared.from_json(shared.to_json())


# --- The day ---

DAY = 1_200_000


def spend_a_day(purpose: Purpose, per_look: int, hours: float) -> tuple[Shared, list[int]]:
    """Spends all that is granted, once a minute; what was spent after every hour."""
    shared, spent, total, hourly = Shared(), 0, 0, []
    for minute in range(int(hours * 60)):
        now = NOW + minute * 60
        look(shared, "a", purpose, HUNGRY, now)
        grant, _ = grant_day(shared, "a", spent, per_look, DAY, now)
        spent = grant
        total += grant
        if minute % 60 == 59:
            hourly.append(total)
    return shared, hourly


def test_a_first_full_has_spent_no_more_than_half_of_the_day_by_noon_and_uses_its_part() -> None:
    _, hourly = spend_a_day(Purpose.FIRST, 1_250, 24)
    assert hourly[11] <= DAY * 0.55
    assert DAY * 0.85 <= hourly[23] <= DAY * 0.9


def test_beside_a_first_full_of_days_a_night_has_what_it_needs() -> None:
    shared, _ = spend_a_day(Purpose.FIRST, 1_250, 30)
    look(shared, "b", Purpose.BACKUP, HUNGRY, NOW + 30 * 3600)
    granted, spent = 0, 0
    for minute in range(60):
        now = NOW + 30 * 3600 + minute * 60
        spent, _ = grant_day(shared, "b", spent, 1_250, DAY, now)
        granted += spent
    assert granted == 60 * 1_250


def test_even_what_changed_leaves_something_of_the_day_to_a_restore() -> None:
    shared, hourly = spend_a_day(Purpose.BACKUP, 1_250, 20)
    assert DAY * 0.97 < hourly[-1] <= DAY * 0.98
    look(shared, "r", Purpose.RESTORE, HUNGRY, NOW + 20 * 3600)
    assert grant_day(shared, "r", 0, 1_250, DAY, NOW + 20 * 3600)[0] == 1_250


def test_in_no_24_hours_is_more_than_the_day_spent_and_a_refusal_says_when_there_is_more() -> None:
    shared, moments, spent = Shared(), [], 0
    free_at = 0.0
    for step in range(0, 50 * 3600, 300):
        now = NOW + step
        look(shared, "a", Purpose.RESTORE, HUNGRY, now)
        spent, free_at = grant_day(shared, "a", spent, 20_000, DAY, now)
        moments.append((now, spent))
        if not spent:
            assert now < free_at <= now + 86_700
    for start, _ in moments:
        assert sum(n for at, n in moments if start <= at < start + 86_400) <= DAY


def test_the_dead_have_spent_their_grant() -> None:
    shared = Shared()
    look(shared, "dead", Purpose.FIRST, HUNGRY, NOW)
    grant, _ = grant_day(shared, "dead", 0, 2_000, DAY, NOW)
    look(shared, "b", Purpose.BACKUP, HUNGRY, NOW + 200)
    assert shared.spent_within(86_400, NOW + 200) == (grant, grant) == (2_000, 2_000)


# --- What people see, and costs ---


def test_counts_begin_anew_at_midnight_and_pauses_end_by_themselves() -> None:
    shared = Shared()
    shared.count({"held": 3}, NOW)
    shared.count({"held": 2, "refused": 0}, NOW)
    assert shared.counts == {"held": 5}
    shared.count({"held": 1}, NOW + 86_400)
    assert shared.counts == {"held": 1}
    shared.pause("anna", NOW + 60, "answered-429", NOW)
    shared.pause("anna", NOW + 30, "answered-503", NOW)
    assert shared.pauses == {"anna": (NOW + 60, "answered-429")}
    shared.pause("ben", NOW + 90, "answered-429", NOW + 61)
    assert set(shared.pauses) == {"ben"}


@pytest.mark.parametrize(
    ("path", "cost"),
    [
        ("/v1.0/users", 2),
        ("/v1.0/users?$select=id", 1),
        ("/v1.0/users/delta?$select=id&$expand=manager", 2),
        ("/users/abc", 2),
        ("/users/abc?$top=5", 1),
        ("/v1.0/groups/g/members", 3),
        ("/v1.0/groups/g/members?$top=999&$select=id", 2),
        ("/v1.0/groups/g/transitiveMembers", 5),
        ("/v1.0/directoryObjects/getByIds", 3),
        ("/v1.0/groups", 1),
        ("/v1.0/groups?$select=id&$top=5", 1),
        ("/users/abc/mailFolders/inbox", 1),
    ],
)
def test_the_directory_charges_by_address_and_options(path: str, cost: int) -> None:
    assert directory_cost(path) == cost
