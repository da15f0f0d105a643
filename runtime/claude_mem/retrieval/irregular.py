"""English forms that no rule reduces: `wrote` is to find `write`, and `children` `child`.

Forms that are common words of another meaning (left, saw, rose, ground, bound) are not here.
"""

from __future__ import annotations

#: A base form, a colon, and its other forms.
_FORMS = """
arise: arose arisen; awake: awoke awoken; bear: borne; beat: beaten; become: became; begin: began begun; bend: bent;
bite: bit bitten; bleed: bled; blow: blew blown; break: broke broken; breed: bred; bring: brought;
build: built; burn: burnt; buy: bought; catch: caught; choose: chose chosen; come: came; creep: crept; deal: dealt;
dig: dug; draw: drew drawn; dream: dreamt; drink: drank drunk; drive: drove driven; eat: ate eaten; fall: fell fallen;
feed: fed; feel: felt; fight: fought; find: found; flee: fled; fly: flew flown; forbid: forbade forbidden;
forget: forgot forgotten; forgive: forgave forgiven; freeze: froze frozen; go: went gone; grow: grew grown; hang: hung;
hear: heard; hide: hid hidden; hold: held; keep: kept; kneel: knelt; know: knew known; lead: led; lean: leant;
leap: leapt; learn: learnt; lend: lent; light: lit; lose: lost; mean: meant; meet: met; overcome: overcame;
overwrite: overwrote overwritten; pay: paid; prove: proven; rebuild: rebuilt; rerun: reran; resend: resent;
rewrite: rewrote rewritten; ride: rode ridden; ring: rang rung; rise: risen; run: ran; seek: sought; sell: sold;
send: sent; shake: shook shaken; shine: shone; shoot: shot; shrink: shrank shrunk; sing: sang sung; sink: sank sunk;
sit: sat; sleep: slept; slide: slid; speak: spoke spoken; speed: sped; spend: spent; spill: spilt; spin: spun;
spring: sprang sprung; stand: stood; steal: stole stolen; stick: stuck; strike: struck;
swear: swore sworn; sweep: swept; swim: swam swum; swing: swung; take: took taken; teach: taught; tear: tore torn;
tell: told; think: thought; throw: threw thrown; undo: undid undone; understand: understood; wake: woke woken;
wear: wore worn; weave: wove woven; weep: wept; win: won; withdraw: withdrew withdrawn; write: wrote written;
child: children; foot: feet; goose: geese; life: lives; man: men; mouse: mice; person: people; tooth: teeth;
woman: women; wife: wives; knife: knives; half: halves; shelf: shelves; wolf: wolves; index: indices;
matrix: matrices; vertex: vertices; criterion: criteria; phenomenon: phenomena
"""


def read_forms(forms: str) -> dict[str, str]:
    """The base form of each other form, of a table like the one above."""
    found: dict[str, str] = {}
    for entry in forms.strip().removesuffix(";").split(";"):
        base, _, others = entry.partition(":")
        found |= dict.fromkeys(others.split(), base.strip())
    return found


#: The base form of each irregular one.
BASE_FORMS = read_forms(_FORMS)
