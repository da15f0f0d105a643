"""What programmers clip: who asks for `config` is to find `configuration` as well, and the other way round.

Each stays a word of its own in the index: `auth` finds the folder `auth` before whatever mentions authentication.
"""

from __future__ import annotations

from claude_mem.retrieval.analyzer import stem
from claude_mem.retrieval.irregular import read_forms

#: What another form counts beside the one that was asked for.
WEIGHT = 0.3

# Clippings that are words or names themselves (ad, mar, sat, sun) are not here.
_FORMS = """
administrator: admin admins; application: app apps; authentication: auth authn; authorization: authz;
configuration: config configs cfg conf; database: db dbs; dependency: deps; developer: devs; development: dev;
directory: dir dirs; documentation: docs; environment: env envs; error: err errs; executable: exe;
function: func funcs fn; implementation: impl; information: info; initialize: init; kubernetes: k8s kube;
library: lib libs; maximum: max; message: msg msgs; minimum: min; parameter: param params; performance: perf;
postgres: postgresql pgsql psql pg; production: prod; reference: refs; repository: repo repos; request: req reqs;
response: resp; specification: spec specs; statistics: stats; synchronize: sync; temporary: tmp;
utility: util utils; variable: var vars;
january: jan; february: feb; august: aug; september: sept; october: oct; november: nov;
tuesday: tue tues; thursday: thu thur thurs; friday: fri
"""


def _read() -> dict[str, tuple[str, ...]]:
    groups: dict[str, dict[str, None]] = {}
    for form, base in read_forms(_FORMS).items():
        groups.setdefault(stem(base), {stem(base): None})[stem(form)] = None
    return {
        term: tuple(other for other in group if other != term) for group in groups.values() for term in group
    }


#: The terms of the other forms, for the term of each form.
OTHER_FORMS = _read()
