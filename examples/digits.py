# %% [markdown]
# # Digits, end to end
#
# A small CNN for scikit-learn's handwritten digits is trained, read as a logic program, scored and explained. It takes
# seconds, and nothing is downloaded.

# %%
from collections import OrderedDict

import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torchvision.transforms import v2

import eric_fast as ef

# %% [markdown]
# ## A network
#
# Three convolutions, trained on three quarters of the images. `digits/train` and `digits/test` are a fixed split.

# %%
torch.manual_seed(0)
torch.set_num_threads(1)  # on batches this small, threads wait for each other
layers = OrderedDict()
for number, (n_in, n_out) in enumerate([(1, 16), (16, 32), (32, 64)], 1):
    layers[f"conv{number}"] = nn.Conv2d(n_in, n_out, 3, padding=1)
    layers[f"relu{number}"] = nn.ReLU()
    if number == 2:
        layers["pool"] = nn.MaxPool2d(2)
layers |= {"average": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten(), "head": nn.Linear(64, 10)}
network = nn.Sequential(layers)

data = ef.open_data("digits/train")
transform = v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])
images = torch.stack([transform(data.load_image(i)) for i in range(len(data))])
labels = torch.tensor(data.folder_labels)
optimiser = torch.optim.Adam(network.parameters(), 0.005)
for _ in range(10):
    for batch in torch.randperm(len(images)).split(32):
        optimiser.zero_grad()
        cross_entropy(network(images[batch]), labels[batch]).backward()
        optimiser.step()
network.eval()
print(f"{len(images):,} training images")

# %% [markdown]
# ## Capture
#
# The network runs once over the images. What is kept is one norm for each image and kernel.

# %%
model = ef.wrap_model(network, transform, classes=[str(digit) for digit in range(10)])
train = ef.capture_activations(model, "digits/train")
test = ef.capture_activations(model, "digits/test")
print(test)

# %% [markdown]
# ## Extract
#
# Bits say which norms are above their thresholds. A tree over the bits of the last layer becomes rules for the classes;
# trees over the bits of lower layers become rules for kernels.

# %%
program = ef.approximate_model(train, layers="all", min_leaf=15)
print(program)

# %% [markdown]
# ## Evaluate
#
# Fidelity is the share of test images on which program and network agree. From lower layers it is less, as the errors
# of more rules add up.

# %%
for score in ef.evaluate_chains(program, test):
    print(
        f"from {score.start_layer}: fidelity {score.fidelity:.2f}, accuracy {score.accuracy:.2f}, {score.n_rules} rules"
    )

# %% [markdown]
# Votes keep more of the network than a tree does:

# %%
votes = ef.approximate_model(train, votes="rows", n_votes=24)
score = ef.evaluate_program(votes, test)
print(f"votes: fidelity {score.fidelity:.2f} with {score.n_rules} rules, {score.n_integers} integers")

# %% [markdown]
# ## Explain
#
# What an answer depends on is forced bit by bit: these kernels carry most of the fidelity.

# %%
analysis = ef.analyse_program(program, test, start=program.layers[-1])
for effect in analysis.effects.rank()[:3]:
    print(f"kernel {program.atoms[effect.atom].name}")
figure = ef.draw_kernels(analysis.effects)
# notebook: figure

# %% [markdown]
# And one image, proved:

# %%
explanation = ef.explain_image(
    program, model, ef.open_data("digits/test"), 3, start=program.layers[-1], with_maps=False
)
print(explanation)

# %% [markdown]
# ## Keep it
#
# The program is one text file. `eric-fast show digits.lp` says it in words, and clingo answers it.

# %%
ef.save_program(program, "digits.lp", force=True)
print(ef.load_program("digits.lp") == program)
