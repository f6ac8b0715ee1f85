"""Sentences of an invented company, as compressible as real ones.

The common words are English and come often, the rare ones are made of syllables and come
seldom (Zipf), so that text shrinks to about a third as office prose does.
"""

import random
from itertools import accumulate

_COMMON = (
    "the of and to a in for is on that we with this be as our by will are at from it have not "
    "please you can or an was team report budget project meeting quarter customer contract "
    "review invoice delivery schedule draft please update plan market sales product release "
    "office travel expense approval policy supplier order number price offer warehouse quality "
    "training engineer design harbour shipment account payment forecast region manager board "
    "change request ticket server network backup incident security access laptop licence "
    "renewal workshop slides agenda minutes decision question answer deadline week month year "
    "Monday Tuesday Wednesday Thursday Friday morning afternoon tomorrow yesterday today "
    "figures table attached following below above next last first second new old important "
    "open closed final early late small large total average growth margin cost revenue risk "
    "option comment version document folder file link page photo drawing sample test result"
).split()
_SYLLABLES = (
    "ba be bi bo bu da de di do du fa fe fi fo ga ge go ha he hi ka ke ki ko la le li lo ma me "
    "mi mo na ne ni no pa pe pi po ra re ri ro sa se si so ta te ti to va ve vi vo za ze zo"
).split()


def _rare_words(count: int) -> list[str]:
    dice = random.Random("rare words")
    return ["".join(dice.choices(_SYLLABLES, k=dice.randint(2, 5))) for _ in range(count)]


_WORDS = _COMMON + _rare_words(4000)
_WEIGHTS = list(accumulate(1 / (rank + 4) for rank in range(len(_WORDS))))
_TABLE = random.Random("table").choices(_WORDS, cum_weights=_WEIGHTS, k=1 << 16)
"""Words as often as they are common: 16 random bits pick one."""
_PUNCTUATED = [
    word + (".\r\n\r\n" if at % 71 == 0 else "." if at % 11 == 0 else "")
    for at, word in enumerate(_TABLE)
]

FOREIGN = {
    "iso-8859-1": "Grüße aus Düsseldorf: die Prüfung für März läuft, Señor Núñez schließt ab. "
    "Ça va être très bientôt terminé, déjà vérifié à Orléans.",
    "windows-1252": "The “final” offer – €12,500 net – isn’t bound to Žižek’s approval… "
    "Œuvre complète, naïve façade.",
    "koi8-r": "Добрый день! Отчёт за квартал готов, прошу проверить цифры до пятницы. "
    "С уважением, отдел продаж.",
    "iso-2022-jp": "お世話になっております。四半期の報告書を添付しましたのでご確認ください。"
    "来週の会議は月曜日の午前十時からです。",
    "utf-8": "Überprüfung ✓ 検査 проверка בדיקה فحص — 5 µm ± 2 % 🚢📦",
}
HEBREW = "דוח רבעוני: המספרים הסופיים (גרסה 2)"
ARABIC = "تقرير الربع الأخير: الأرقام النهائية 2026"
EMOJI = "🚀 Launch party 🎉👩‍👩‍👧‍👦 on Friday 🇩🇪"


def words(dice: random.Random, count: int) -> list[str]:
    """`count` words, common ones often."""
    return [_TABLE[number] for number in memoryview(dice.randbytes(2 * count)).cast("H")]


def running_text(dice: random.Random, size: int) -> bytes:
    """Exactly `size` bytes of ASCII prose, made fast and without care for capitals."""
    numbers = memoryview(dice.randbytes(2 * (size // 4 + 8))).cast("H")
    text = " ".join(map(_PUNCTUATED.__getitem__, numbers)).encode("ascii")
    return text[:size] if len(text) >= size else text + running_text(dice, size - len(text))


def sentence(dice: random.Random) -> str:
    """One sentence of 5 to 18 words."""
    text = " ".join(words(dice, dice.randint(5, 18)))
    if dice.random() < 0.15:
        text += f" {dice.randint(2, 99_999)}"
    return text[0].upper() + text[1:] + "."


def paragraph(dice: random.Random) -> str:
    """Two to seven sentences."""
    return " ".join(sentence(dice) for _ in range(dice.randint(2, 7)))


def paragraphs(dice: random.Random, count: int) -> str:
    """Paragraphs divided by blank lines, ASCII, LF."""
    return "".join(paragraph(dice) + "\n\n" for _ in range(count))


def subject(dice: random.Random) -> str:
    """Three to eight words, as people name mails and documents."""
    text = " ".join(words(dice, dice.randint(3, 8)))
    return text[0].upper() + text[1:]
