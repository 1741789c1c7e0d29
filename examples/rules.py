# %% [markdown]
# # Rules of FOLD-RM and clingo
#
# Default rules with exceptions are read, applied to a table, learned anew, and answered by clingo as a check.

# %%
import clingo
import numpy as np
import pandas as pd

import eric_fast as ef

text = """
play(X,'no') :- outlook(X,'rain'), wind(X,N0), N0>20.
play(X,'no') :- outlook(X,'sun'), not ab1(X).
play(X,'yes') :- temperature(X,N1), N1>8.
ab1(X) :- temperature(X,N2), N2=<28.
"""
model = ef.from_asp(text)
print(model)

# %% [markdown]
# ## On a table
#
# The first rule whose body holds decides. Where none does, there is no answer.

# %%
generator = np.random.default_rng(0)
table = pd.DataFrame(
    {
        "outlook": generator.choice(["sun", "rain", "clouds"], 400),
        "wind": generator.integers(0, 40, 400),
        "temperature": generator.integers(0, 36, 400),
    }
)
answers = model.predict(table)
print(pd.Series(answers).value_counts(dropna=False).to_dict())

# %% [markdown]
# ## clingo says the same
#
# The program's text has the bits of each row as input: facts `c_...("id")` for the comparisons that are true.

# %%
program = model.program
words, n_rows = model.packer.pack(table)
truth = ef.BitMatrix(words, n_rows, ef.Evaluator(program).inputs).to_bools().numpy()
rows = [str(row) for row in range(len(table))]
text = program.to_asp()
predicates = [line.split("(")[1].split(",")[0] for line in text.splitlines() if line.startswith(("compare(", "among("))]
facts = [f'image("{row}").' for row in rows]
for atom, predicate in enumerate(predicates):
    facts += [f'{predicate}("{row}").' for row in np.flatnonzero(truth[:, atom])]
control = clingo.Control(["--warn=none"])
control.add("base", [], text + "\n".join(facts))
control.ground([("base", [])])
with control.solve(yield_=True) as handle:
    atoms = [atom for atom in handle.model().symbols(atoms=True) if atom.name == "class"]
    found = {atom.arguments[0].string: atom.arguments[1].string for atom in atoms}
print([found.get(row) for row in rows] == list(answers))

# %% [markdown]
# ## Learned from examples
#
# `FoldClassifier` learns rules of this form. On the rows that the rules above answered, it finds them again, or others
# with the same answers:

# %%
known = np.array([answer is not None for answer in answers])
learner = ef.FoldClassifier(tail=0).fit(table[known], answers[known].astype(str))
print("\n".join(learner.rules_))
print(f"accuracy {(learner.predict(table[known]) == answers[known]).mean():.2f}")

# %% [markdown]
# ## To other languages

# %%
print(learner.program_.to_prolog().splitlines()[0])
