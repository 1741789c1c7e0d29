# %% [markdown]
# # A CNN on CIFAR-10, read as rules
#
# A network of six convolutions is read as a program over the kernels of its last layer. This needs the folders
# `cifar10/train` and `cifar10/test`, with one folder of images per class, and the network's file, `cifar10_vgg.py`, in
# the current folder. With all images, [the guide](../guide/cifar10.md) has the figures; here a few hundred are enough
# to see how it goes.

# %%
import sys
from pathlib import Path

import eric_fast as ef

if not Path("cifar10/train").is_dir() or not Path("cifar10_vgg.py").is_file():
    sys.exit("needs cifar10/train, cifar10/test and cifar10_vgg.py in the current folder")

# %%
model = ef.load_model("cifar10_vgg.py:build")
layer = "features.19"
train = ef.capture_activations(model, "cifar10/train", limit=600, layers=[layer], batch_size=100)
test = ef.capture_activations(model, "cifar10/test", limit=300, layers=[layer], batch_size=100)
print(test)

# %% [markdown]
# ## Trees, votes and default rules
#
# Three kinds of rules over the same bits. Size has three figures: rules, literals, and integers other than 1.

# %%
programs = {
    "tree": ef.approximate_model(train, min_leaf=6),
    "votes": ef.approximate_model(train, votes="rows", n_votes=40),
    "default rules": ef.approximate_model(train, rules="fold", min_leaf=3),
}
for name, program in programs.items():
    score = ef.evaluate_program(program, test)
    size = f"{score.n_rules} rules, {score.n_literals} literals, {score.n_integers} integers"
    print(f"{name:13} fidelity {score.fidelity:.2f}: {size}")

# %% [markdown]
# ## One rule
#
# In the file a rule of the tree is a line of answer set programming:

# %%
lines = programs["tree"].to_asp().splitlines()
print(next(line for line in lines if line.startswith("rule(1,")))

# %% [markdown]
# ## Where program and network differ
#
# Rows are the network's classes, columns the program's.

# %%
figure = ef.draw_confusion(ef.evaluate_program(programs["votes"], test), test.classes)
# notebook: figure

# %% [markdown]
# ## One image
#
# The proof says which rules fired; counterfactuals say which bits would have to differ for another class.

# %%
explanation = ef.explain_image(programs["tree"], model, ef.open_data("cifar10/test"), 7, with_maps=False)
print(explanation.image)
n_bits = min(found.n_least for found in explanation.counterfactuals)
print(f"for another class, bits that have to differ at least: {n_bits}")
# notebook: explanation
