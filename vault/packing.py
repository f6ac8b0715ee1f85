"""Turns the pieces of one step into boxes and packs: grouping, duplicate look-ups, uploads.

Rule 1 (I1): whatever a page refers to is durable before the page is: packs are stored here, pages
        later.
Rule 2 (I3): shared chunks are remembered in the index right after their pack is stored, never
        before.
Rule 3: memory is bounded: one pack being filled, one group, and at most LOOK_UP_BYTES of chunks
        that wait for their look-up, whatever the size of the content; and the one pack that
        shipping.py stores beside.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from base.clock import Clock
from vault.box import BoxKind, Domain, IdType, Member, identify
from vault.config import Config
from vault.entry import Location, Place, Reference
from vault.index import ChunkIndex, Moment, RecentChunks
from vault.keys import KeyRing
from vault.lost import Lost, LostRecords
from vault.pack import TARGET_BYTES, PackBuilder
from vault.problems import VaultDamaged
from vault.shipping import SEALING, Shipment
from vault.store import Store

GROUP_BYTES = 256 * 1024
LOOK_UP_BYTES = 8 * 1024 * 1024
LOOK_UP_CHUNKS = 64
SMALL_REMEMBERED = 20_000  # pieces of a step, about 300 bytes each


@dataclass(frozen=True, slots=True)
class Tools:
    """What steps need of an open vault."""

    store: Store
    config: Config
    ring: KeyRing
    clock: Clock
    index: ChunkIndex
    recent: RecentChunks
    lost: LostRecords
    verify: bool = True


@dataclass(frozen=True, slots=True)
class WrittenPack:
    """A pack a page has to vouch for."""

    id: str
    size: int
    sha256: str


@dataclass(slots=True)
class _Waiting:
    """A shared chunk before its look-up."""

    id: bytes
    data: bytes
    place: Place


@dataclass(frozen=True, slots=True)
class _Stored:
    """A durable pack, and the moment its storing began."""

    pack: WrittenPack
    begun: Moment


class Packer:
    """Collects the boxes of one step; not for several threads."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._builder = PackBuilder(tools.ring, tools.config.chunking)
        self._group = bytearray()
        self._members: list[Member] = []
        self._group_place = Place()
        self._waiting: list[_Waiting] = []
        self._waiting_bytes = 0
        self._small: dict[bytes, Reference] = {}
        self._shared: dict[bytes, Place] = {}  # what this step holds or found already
        self.packs: list[WrittenPack] = []
        self._shipment: Shipment[_Stored] | None = None
        self._relied_on: list[Moment] = []  # the earliest by either clock
        self._lost: Lost | None = None  # read at the first chunk that is there already
        self.held_bytes_max = 0
        self.new_bytes = 0  # content that was not stored before, as it was given

    @property
    def age_s(self) -> float:
        """Seconds since the first look-up or stored pack this step relies on; 0 without one."""
        return max((moment.age_s(self._tools.clock) for moment in self._relied_on), default=0)

    @property
    def stored_bytes(self) -> int:
        """Bytes in full packs and in the one being filled."""
        return sum(pack.size for pack in self.packs) + self._packed_bytes

    def add_small(self, data: bytes) -> Reference:
        """A piece below 64 KiB, into the step's current group, unless this step has it already: a
        signature's picture, the same small file twice.
        """
        id_ = identify(self._tools.ring, IdType.CONTENT, data)
        known = self._small.get(id_)
        if known is not None:
            return known
        member = Member(id_, len(self._group), len(data))
        self._group += data
        self.new_bytes += len(data)
        self._members.append(member)
        reference = Reference(id_, self._group_place, member.offset, member.length)
        if len(self._small) < SMALL_REMEMBERED:
            self._small[id_] = reference
        if len(self._group) >= GROUP_BYTES:
            self._close_group()
        return reference

    def add_shared(self, data: bytes) -> Reference:
        """A chunk the whole organization shares: looked up before it is stored."""
        id_ = identify(self._tools.ring, IdType.CONTENT, data)
        place = self._shared.get(id_)
        if place is None:
            place = self._shared[id_] = Place()
            self._waiting.append(_Waiting(id_, data, place))
            self._waiting_bytes += len(data)
            self._note_held()
            if self._waiting_bytes >= LOOK_UP_BYTES or len(self._waiting) >= LOOK_UP_CHUNKS:
                self._look_up()
        return Reference(id_, place, 0, len(data))

    def add_box(self, kind: BoxKind, id_type: IdType, data: bytes) -> Reference:
        """A box of the chain's own that may point at others: laid out at once."""
        id_ = identify(self._tools.ring, id_type, data)
        place = Place()
        self._builder.add(kind, Domain.OWN, (Member(id_, 0, len(data)),), data, place)
        self._builder.settle()
        self._roll()
        return Reference(id_, place, 0, len(data))

    def unsent(self, reference: Reference) -> bytes | None:
        """The plaintext of a box of add_box whose pack is still being filled; what is not is
        stored.
        """
        location = reference.place.location
        if location.pack == self._builder.id:
            return self._builder.plain(location.box)
        self._land()
        return None

    def settle(self) -> None:
        """Every place handed out so far becomes known."""
        self._look_up()
        self._close_group()
        self._builder.settle()

    def finish(self) -> list[WrittenPack]:
        """Stores what is left, and answers all packs of the step."""
        self.settle()
        if not self._builder.empty:
            self._store(beside=False)
        self._land()
        return self.packs

    def _close_group(self) -> None:
        if self._members:
            members, data = tuple(self._members), bytes(self._group)
            self._builder.add(BoxKind.GROUP, Domain.OWN, members, data, self._group_place)
            self._group = bytearray()
            self._members = []
            self._group_place = Place()
            self._roll()

    def _look_up(self) -> None:
        waiting, self._waiting, self._waiting_bytes = self._waiting, [], 0
        if not waiting:
            return
        now = Moment.now(self._tools.clock)
        unknown: list[_Waiting] = []
        for one in waiting:
            row = self._tools.recent.get(one.id)
            if row is None or self._is_lost(one.id, row[0]):
                unknown.append(one)
            else:
                one.place.settle(row[0])
                self._relies_on(row[1])
        if not unknown:
            return
        self._relies_on(now)
        found = self._tools.index.find([one.id for one in unknown])
        for one in unknown:
            location = found.get(one.id)
            if location is None or self._is_lost(one.id, location):
                member = Member(one.id, 0, len(one.data))
                self.new_bytes += len(one.data)
                self._builder.add(BoxKind.CHUNK, Domain.SHARED, (member,), one.data, one.place)
                self._roll()
            else:
                one.place.settle(location)
                self._tools.recent.put(one.id, location, now)

    def _is_lost(self, id_: bytes, place: Location) -> bool:
        """Whether the box is known to be lost; then its row goes, and a new one takes its place."""
        if self._lost is None:
            self._lost = self._tools.lost.known(self._tools.ring)
        if not self._lost.holds(place):
            return False
        self._tools.index.forget(place.pack, [id_])
        return True

    def _relies_on(self, moment: Moment) -> None:
        seen = [*self._relied_on, moment]
        self._relied_on = [min(seen, key=lambda m: m.wall), min(seen, key=lambda m: m.ticks)]

    def _roll(self) -> None:
        self._note_held()
        if self._builder.bytes >= TARGET_BYTES:
            self._store()

    def _store(self, beside: bool = True) -> None:
        self._land()
        builder = self._builder
        self._builder = PackBuilder(self._tools.ring, self._tools.config.chunking)
        builder.settle()
        work = partial(self._shipped, builder, Moment.now(self._tools.clock))
        self._shipment = Shipment(work, builder.bytes, beside)

    def _land(self) -> None:
        """Waits for the pack that is under way."""
        if self._shipment is not None:
            shipment, self._shipment = self._shipment, None
            stored = shipment.landed()
            self._relies_on(stored.begun)
            self.packs.append(stored.pack)

    def _shipped(self, builder: PackBuilder, begun: Moment) -> _Stored:
        """Seals and stores a pack, perhaps in another thread: touches nothing of the step."""
        with SEALING:
            sealed = builder.seal(self._tools.verify)
        store = self._tools.store
        # A name is never drawn twice: if it is taken, a retried request of ours got there first.
        if not store.put_new(sealed.name, sealed.data) and store.read(sealed.name) != sealed.data:
            raise VaultDamaged("Another blob has the name of a new pack.", name=sealed.name)
        self._remember(sealed.shared, begun)
        return _Stored(WrittenPack(sealed.id, len(sealed.data), sealed.sha256), begun)

    def _remember(self, shared: dict[bytes, Location], begun: Moment) -> None:
        """A pack that took very long to store may have been condemned, for no page needs it yet:
        then nobody may find it.
        """
        if shared and begun.age_s(self._tools.clock) <= self._tools.config.t_max_s:
            self._tools.index.remember(shared)
            for id_, location in shared.items():
                self._tools.recent.put(id_, location, begun)

    @property
    def _packed_bytes(self) -> int:
        """Under way, being filled, and not yet compressed."""
        under_way = self._shipment.size if self._shipment else 0
        return under_way + self._builder.bytes + len(self._group)

    def _note_held(self) -> None:
        held = self._packed_bytes + self._waiting_bytes
        self.held_bytes_max = max(self.held_bytes_max, held)
