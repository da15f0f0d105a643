"""Questions in languages that write Latin letters and are not English: which one it is, and how its words begin.

The index has one stem for each word, by English rules where letters are Latin, since most memories speak of code in
English. A word of another language is therefore sought by what all its forms begin with, its stem by that language's
own rules (Snowball's). The language is told by words that hold its questions together.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from claude_mem.retrieval.analyzer import stem
from claude_mem.retrieval.stopwords import STOP_WORDS

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Words of a question that are looked at.
MOST_WORDS = 40

#: A beginning that is shorter is that of too many words.
LEAST_BEGINNING = 4

# Without accents, as questions are read.
_HOLDING: Final = {
    "german": """
        das dass dem den der des die ein eine einem einen einer eines er es fur haben hat hatte hier ich ihr ist kann
        kein keine mit nach nicht noch nur oder ob sich sie sind uber um und uns unser von vom wann war warum welche
        welchem welchen welcher welches wenn wer werden wie wieso wir wird wo wurde wurden zu zum zur zwischen
    """,
    "french": """
        au aux avec avons avez c ce ces cette comment dans des du elle elles est et etait etaient faire fait il ils je
        la le les leur mais ne nos notre nous ont ou par pas pour pourquoi qu quand que quel quelle quelles quels qui
        quoi sans ses son sont sur un une vous
    """,
    "spanish": """
        al como con cual cuales cuando cuanto cuantos de del donde e el ella ellos en entre era es esta estan este
        fue fueron ha hace han hay la las lo los mas mi muy nos nuestra nuestro para pero por porque que quien
        quienes se sin sobre son su sus un una y
    """,
    "portuguese": """
        ao aos as com como da das de do dos e ela eles em entre era essa esse esta este foi foram ha isso ja mais mas
        na nao nas no nos nossa nosso o onde os para pela pelo por porque qual quais quando quanto que quem se sem
        ser sao seu sua sobre uma voce
    """,
    "italian": """
        abbiamo agli al alla alle anche che chi con cosa cui dai dal dalla degli dei del della delle di dove e ed era
        gli ha hanno i il la le lo nei nel nella non o perche piu quale quali quando quanto quella quello questa
        questo sia sono su sul sulla tra un una
    """,
    "dutch": """
        aan als bij dat de deze dit door een en er geen had heb hebben heeft het hij hoe ik is je kan maar met naar
        niet nog om onze ook op over te tot tussen uit van voor waar waarom wanneer wat we welke werd werden wie
        wij worden zijn zonder
    """,
    "swedish": """
        alla att av blev blir de den det detta dom efter en ett eller fick fran ha hade har hur i inte jag kan med
        mellan mot nar nagon och om oss pa ska som till under utan vad var varfor vara vi vid vilka vilken vilket ar
    """,
}

# English words, and what questions about code have (`.com`, EST, MIT, `var`, `del`), tell nothing of a language.
_SHARED = """
    att chi com come comment con dais das dat del dem den des die dom door dos dove era est fait fur han hat hay hier
    hoe ist las leer les los mais mas met mit nos par para pas pour ska sans sea sin son sono sur tot van var vid via
    von war wat
"""
_ENGLISH_TOO = STOP_WORDS.union(_SHARED.split())

_WORDS = {language: frozenset(text.split()) for language, text in _HOLDING.items()}
# The shorter a word, the more often it is a variable, a unit or of another language.
_SAYS = {
    language: {word: 1 if len(word) < 3 else 2 if len(word) < 5 else 3 for word in known - _ENGLISH_TOO}
    for language, known in _WORDS.items()
}
# The rules for Portuguese want the tildes that folding takes away.
_NASAL = re.compile(r"(?:ao|aes|oes)$")
_TELLING = frozenset().union(*_SAYS.values())


def language_of(words: Sequence[str]) -> str | None:
    """The language of a question; None for English, and where too little tells.

    Parameters:
        words: folded, as `analyzer.words` gives them.
    """
    said = dict.fromkeys(words[:MOST_WORDS])
    if _TELLING.isdisjoint(said):
        return None
    scores = {language: sum(says.get(word, 0) for word in said) for language, says in _SAYS.items()}
    best = max(scores, key=lambda language: scores[language])
    english = 2 * sum(word in STOP_WORDS and word not in _WORDS[best] for word in said)
    # Two words that hold a question together, or one in a question of a few.
    least = 2 if len(said) < 4 else 3
    return best if scores[best] >= max(least, english + 1) else None


def beginning(word: str, language: str) -> str | None:
    """What the forms of a word begin with; None where that is next to nothing.

    Parameters:
        word: folded.
        language: as `language_of` names it.
    """
    if not word.isascii() or not word.isalpha():
        return None
    nasal = _NASAL.search(word) if language == "portuguese" else None
    by_rules = word[: nasal.start()] if nasal else stem(word, language=language)
    # The index has the word by the other rules.
    indexed = stem(word)
    pairs = enumerate(zip(by_rules, indexed, strict=False))
    shared = next((at for at, (one, other) in pairs if one != other), min(len(by_rules), len(indexed)))
    return by_rules[:shared] if shared >= LEAST_BEGINNING else None


def holds_together(word: str, language: str) -> bool:
    """Whether a word says nothing about what is sought."""
    return word in _WORDS[language]
