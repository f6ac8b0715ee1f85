"""What can go wrong with a vault, each with a code, a status and what to do about it."""

from __future__ import annotations

from base.errors import Conflict, InvalidInput, NotFound, Problem


class Missing(NotFound):
    """No object of that name in the store."""

    code = "vault-object-missing"
    hint = "Verify the vault; what is lost is fetched again by the next full sweep."


class VaultMissing(NotFound):
    """There is no vault where one was expected."""

    code = "vault-missing"
    hint = "Check the folder or the container prefix; onboarding an organization makes its vault."


class VaultExists(Conflict):
    """There is a vault already where one was to be made."""

    code = "vault-exists"
    hint = "Open the vault that is there, or choose an empty place."


class VaultDamaged(Problem):
    """Bytes are not what their seal says they should be, or a part of the vault is absent."""

    code = "vault-damaged"
    status = 500
    hint = "Run the verification: it names every damaged object; restore those from a replica."


class KeysGone(VaultDamaged):
    """The vault has no key file: its keys were destroyed on purpose, or somebody removed them."""

    code = "vault-keys-gone"
    hint = (
        "Undelete the blobs below keys/ or copy them from a replica. If the organization was "
        "shredded, nothing opens its vault any more."
    )


class WrongKey(Problem):
    """None of the key list's slots opens with this passphrase or key."""

    code = "vault-wrong-key"
    status = 403
    hint = "Use the passphrase or Key Vault key this vault was made with, or a recovery slot."


class UnknownFeature(Problem):
    """The vault needs something this version does not know."""

    code = "vault-unknown-feature"
    status = 500
    hint = "Upgrade Holdfast to the version that wrote the vault, or a later one."


class TooFewSlots(InvalidInput):
    """A vault with one key slot is lost together with that one key."""

    code = "vault-too-few-slots"
    hint = "Add a recovery slot (a passphrase kept offline) beside the first one."


class NoRecoverySlot(Conflict):
    """Nothing opens the vault once the service or its cloud is gone, so nothing is backed up."""

    code = "vault-no-recovery-slot"
    hint = (
        "Add a recovery slot, a passphrase or an offline public key: "
        "POST /organizations/{org}/keys/slots, or holdfast keys add-slot."
    )


class SlotMissing(NotFound):
    """The vault's newest key file has no such slot."""

    code = "vault-slot-missing"
    hint = "List the keys: a slot that was replaced has another id."


class SlotInUse(Conflict):
    """The slot is the one this process opened the vault with."""

    code = "vault-slot-in-use"
    hint = "Add the new service slot, start the service with it, then take the old one away."


class SlotNotAtHand(Conflict):
    """A fresh master secret has to be wrapped for every slot that stays; one cannot be."""

    code = "vault-slot-not-at-hand"
    hint = (
        "Give the passphrase of the named slot too. Or keep the master secret: then whoever held "
        "the slot that goes, and kept an old key file, can open later ones."
    )


class KeysChanged(Conflict):
    """Another process changed the keys meanwhile; this change did not take place."""

    code = "vault-keys-changed"
    hint = "List the keys and decide again."


class StepTooOld(Problem):
    """A step ran longer than T_MAX since its first look-up, so a collector may have acted on it."""

    code = "vault-step-too-old"
    status = 503
    hint = "Nothing to do: nothing was committed, the next step starts afresh."


class RoundLost(Conflict):
    """Another run closed or voided the snapshot this round was building."""

    code = "vault-round-lost"
    hint = "Nothing to do: open the round of the next number."


class RoundOutOfOrder(Conflict):
    """Snapshots of a chain are numbered without a gap; the one before this round's is missing."""

    code = "vault-round-out-of-order"
    hint = "Ask for the chain's head and build the number after the newest snapshot."


class RoundIncomplete(Conflict):
    """A round is closed only after a page that says it is complete."""

    code = "vault-round-incomplete"
    hint = "Commit the round's last step with complete set before closing it."


class StoreProblem(Problem):
    """The store could not do what it was asked; nothing was half done."""

    code = "vault-store"
    status = 503
    hint = "Check the storage; the work goes on by itself when it answers again."


class StoreNotWritable(StoreProblem):
    """The store refuses writes."""

    code = "vault-store-not-writable"
    hint = "Give this process the right to create files or blobs there."


class StoreFull(StoreProblem):
    """No space left."""

    code = "vault-store-full"
    status = 507
    hint = "Free or add space; nothing written so far is lost."


class StoreForbidden(StoreProblem):
    """The storage account refuses this identity."""

    code = "vault-store-forbidden"
    status = 403
    hint = "Assign the role that may create and read blobs to the identity that runs Holdfast."


class StoreImmutable(StoreProblem):
    """The blob may not be deleted yet: an immutability policy or a legal hold protects it."""

    code = "vault-store-immutable"
    status = 409
    hint = "Nothing to do: it is deleted when its retention is over."
