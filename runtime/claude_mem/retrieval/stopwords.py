"""Words that hold an English question together and say nothing about what is sought.

They stay in the index, for phrases and for questions that consist of nothing else.
"""

from __future__ import annotations

_WORDS = """
    a about above after again against all also am an and any anyone anything are arent as at be because been before
    being below between both but by can cannot cant could couldnt did didnt do does doesnt doing done dont down
    during each either else ever every everything few for from further get gets getting give given go going got had
    hadnt has hasnt have havent having he her here hers herself him himself his how however i if im in into is isnt
    it its itself ive just kind know let lets like made make makes many may me might more most much must my myself
    need neither no nor not now of off on once one only or other our ours ourselves out over own please really
    remember remind same say see shall she should shouldnt show so some something such sure take tell than that thats
    the their theirs them themselves then there theres these they thing things this those through thus to too toward
    under until up upon us very want was wasnt way we well were werent weve what whats when where whether which while
    who whom whose why will with within without wont would wouldnt yes yet you your youre yours yourself yourselves
"""

STOP_WORDS = frozenset(_WORDS.split())
