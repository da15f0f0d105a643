"""One spelling for words that are written in two: British ones become American, `colour` is to find `color`.

Index and questions are treated alike, so a rule that also changes `promise` does no harm as long as no other word is
spelled as the result.
"""

from __future__ import annotations

import re

from claude_mem.retrieval.irregular import BASE_FORMS, read_forms

_AMERICAN = """
airplane: aeroplane; aluminum: aluminium; analog: analogue; artifact: artefact; caliber: calibre;
catalog: catalogue catalogued cataloguing; center: centre centred; cozy: cosy; defense: defence; dialog: dialogue;
enroll: enrol; fiber: fibre; fulfill: fulfil; gray: grey; install: instal; judgment: judgement; license: licence;
liter: litre; maneuver: manoeuvre; meter: metre; mold: mould; mom: mum; offense: offence; pajamas: pyjamas; plow: plough;
pretense: pretence; program: programme programmes; skeptic: sceptic; theater: theatre
"""

_KNOWN = BASE_FORMS | read_forms(_AMERICAN)
_KNOWN |= {f"{other}s": base for other, base in read_forms(_AMERICAN).items()}

# Precise and revise go with precision and revision, not with words in -ize.
_IZE = re.compile(
    r"(?<=[a-z]{3})(?<!prec)(?<!conc)(?<!exc)(?<!rev)(?<!superv)(?<!telev)is"
    r"(?=(?:e|es|ed|er|ers|ing|ings|able|ation|ations|ational)$)"
)
_LYSIS = re.compile(r"(?<=[a-z]l)ysis$")
_LYZE = re.compile(r"(?<=[a-z]l)ys(?=(?:e|es|ed|er|ers|ing)$)")
_OR = re.compile(
    r"(?<=[a-z]{3})our(?=(?:s|ed|er|ers|ing|ings|ite|ites|able|al|ful|less|ly|hood|hoods|ist|ists)?$)"
)


def usual(word: str) -> str:
    """The usual spelling of a folded word, irregular forms as their base; most words as they are."""
    known = _KNOWN.get(word)
    if known is not None:
        return known
    if len(word) < 6 or not word.isascii():
        return word
    word = _LYZE.sub("yz", _LYSIS.sub("yze", word))
    return _OR.sub("or", _IZE.sub("iz", word))
