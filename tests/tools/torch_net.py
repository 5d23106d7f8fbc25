"""torch_net.py RUN DATA: the dense run of RUN done again by PyTorch, step by step, and compared.

The training set must be one batch, so that a step does not depend on the order in which images are drawn, and there
must be a checkpoint after the first step. Networks are written here as their papers describe them; of coppice they
take the names of tensors (docs/files.md), the weights at initialisation and the settings of the experiment.

PyTorch runs in float64, and in float32 as well: a rounding that puts one value on the other side of a ReLU grows from
step to step, so how far float32 strays after ten steps depends on the network, not on who computes. coppice may stray
three times as far as PyTorch does, or as far as one such value takes a network. Prints both; exits 1 where coppice is
further off.
"""
import json
import os
import sys

import h5py
import numpy
import torch
from torch.nn import functional as F

# The share of PyTorch's own error that coppice's may be.
TIMES = 3


def read_group(file, name):
    """Tensors below a group by 'LAYER/TENSOR'."""
    found = {}
    if name in file:
        file[name].visititems(lambda path, d: found.update({path: torch.tensor(d[()], dtype=torch.float64)})
                              if isinstance(d, h5py.Dataset) else None)
    return found


class Network:
    """Parameters p and running statistics b by name, and the layers that use them."""

    def __init__(self, path, dtype):
        with h5py.File(path, "r") as file:
            self.p = {k: v.to(dtype) for k, v in read_group(file, "params").items()}
            self.b = {k: v.to(dtype) for k, v in read_group(file, "buffers").items()}
        for tensor in self.p.values():
            tensor.requires_grad_()

    def conv(self, x, name, stride=1, groups=1):
        w = self.p[name + "/weight"]
        if groups > 1 and w.dtype == torch.float64:
            return depthwise(x, w, stride)
        return F.conv2d(x, w, self.p.get(name + "/bias"), stride, w.shape[2] // 2, 1, groups)

    def conv_bn(self, x, name, stride=1, groups=1):
        x, bn = self.conv(x, name + "conv", stride, groups), name + "bn/"
        return F.batch_norm(x, self.b[bn + "running_mean"], self.b[bn + "running_var"], self.p[bn + "weight"],
                            self.p[bn + "bias"], training=True, momentum=0.1, eps=1e-5)

    def linear(self, x, name):
        return F.linear(x, self.p[name + "/weight"], self.p[name + "/bias"])


def depthwise(x, w, stride):
    """A 3x3 window over each channel, tap by tap: PyTorch's own takes minutes in float64."""
    height, width, x = x.shape[2], x.shape[3], F.pad(x, (1, 1, 1, 1))
    return sum(x[:, :, i:i + height:stride, j:j + width:stride] * w[:, 0, i, j, None, None]
               for i in range(3) for j in range(3))


def lenet(net, x, model):
    x = x.flatten(1)
    for i in range(len(model["hidden"])):
        x = F.relu(net.linear(x, f"fc{i + 1}"))
    return net.linear(x, f"fc{len(model['hidden']) + 1}")


def conv(net, x, model):
    for i in range(int(model["name"][4:])):
        x = F.relu(net.conv(x, f"conv{i + 1}"))
        x = F.max_pool2d(x, 2) if i % 2 else x
    x = F.relu(net.linear(x.flatten(1), "fc1"))
    return net.linear(F.relu(net.linear(x, "fc2")), "fc3")


def vgg(net, x, model):
    stages = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
    for i, convolutions in enumerate(stages[model["depth"]]):
        for k in range(convolutions):
            x = F.relu(net.conv_bn(x, f"stage{i + 1}_{k + 1}_"))
        x = F.max_pool2d(x, 2) if i < 4 else x.mean((2, 3))
    return net.linear(x, "fc")


def resnet(net, x, model):
    x = F.relu(net.conv_bn(x, "stem_"))
    for stage in range(3):
        for block in range((model["depth"] - 2) // 6):
            name, stride = f"stage{stage + 1}_block{block + 1}_", 2 if stage and not block else 1
            y = net.conv_bn(F.relu(net.conv_bn(x, name + "1_", stride)), name + "2_")
            x = net.conv_bn(x, name + "shortcut_", stride) if stride == 2 else x
            x = F.relu(x + y)
    return net.linear(x.mean((2, 3)), "fc")


def mobilenet_v2(net, x, model):
    # expansion, repeats, first stride: table 2 of the paper
    rows = ((1, 1, 1), (6, 2, 2), (6, 3, 2), (6, 4, 2), (6, 3, 1), (6, 3, 2), (6, 1, 1))
    x, block = F.relu6(net.conv_bn(x, "stem_", 2)), 0
    for expansion, repeats, first in rows:
        for k in range(repeats):
            block += 1
            name, stride, y = f"block{block}_", 1 if k else first, x
            if expansion != 1:
                y = F.relu6(net.conv_bn(y, name + "expand_"))
            y = F.relu6(net.conv_bn(y, name + "depthwise_", stride, y.shape[1]))
            y = net.conv_bn(y, name + "project_")
            x = x + y if stride == 1 and x.shape == y.shape else y
    return net.linear(F.relu6(net.conv_bn(x, "head_")).mean((2, 3)), "fc")


NETWORKS = {"lenet": lenet, "conv2": conv, "conv4": conv, "conv6": conv, "vgg": vgg, "resnet": resnet,
            "mobilenet_v2": mobilenet_v2}


def read_batch(path):
    with h5py.File(path, "r") as file:
        pixels = numpy.moveaxis(file["train/images"][()].astype(numpy.float64) / 255, 3, 1)
        mean, deviation = (file.attrs[k].astype(numpy.float64)[:, None, None] for k in ("mean", "std"))
        return torch.tensor((pixels - mean) / deviation), torch.tensor(file["train/labels"][()].astype(numpy.int64))


def error(got, wanted, least):
    """Of a tensor: the norm of the difference over the norm. What cancels out but for rounding, as a shift that the
    next batch norm takes away again, or the mean of what was given a mean of 0, is measured by values of `least`."""
    return float((got - wanted).norm() / max(wanted.norm(), least * wanted.numel() ** 0.5))


def worst(got, wanted, least):
    """The largest error of tensors by name; both sides must have the same ones."""
    assert got.keys() == wanted.keys(), got.keys() ^ wanted.keys()
    return max(((error(got[k], wanted[k], least), k) for k in wanted), default=(0.0, "none"))


class Run:
    """What a run leaves: losses of the steps, the first update, weights and statistics at the end."""

    def __init__(self, losses, before, first, weights, statistics):
        double = [{k: v.detach().double() for k, v in g.items()} for g in (before, first, weights, statistics)]
        self.losses, self.weights, self.statistics = numpy.array(losses), double[2], double[3]
        self.first = {k: double[1][k] - double[0][k] for k in double[0]}


def run_torch(experiment, dense, data, dtype):
    model, train = experiment["model"], experiment["train"]
    settings = train["optimizer"]
    x, label = read_batch(data)
    assert train["batch"] == len(x), "the training set is not one batch"
    net = Network(os.path.join(dense, "init.h5"), dtype)
    optimizer = torch.optim.SGD(net.p.values(), settings["lr"], settings["momentum"],
                                weight_decay=settings["weight_decay"], nesterov=settings["nesterov"])
    states, losses = [{k: v.detach().clone() for k, v in net.p.items()}], []
    for _ in range(train["epochs"]):
        optimizer.zero_grad()
        loss = F.cross_entropy(NETWORKS[model["name"]](net, x.to(dtype), model), label)
        loss.backward()
        optimizer.step()
        losses.append(float(loss))
        states.append({k: v.detach().clone() for k, v in net.p.items()})
    return Run(losses, states[0], states[1], net.p, net.b)


def read_coppice(dense):
    def tensors(name, group="params"):
        with h5py.File(os.path.join(dense, name), "r") as file:
            return read_group(file, group)
    with h5py.File(os.path.join(dense, "result.h5"), "r") as file:
        losses = file["history/train_loss"][1:]
    return Run(losses, tensors("init.h5"), tensors("step-00000001.h5"), tensors("final.h5"),
               tensors("final.h5", "buffers"))


def main(run, data):
    torch.set_num_threads(2)
    with open(os.path.join(run, "experiment.json")) as file:
        experiment = json.load(file)
    dense = os.path.join(run, "dense", "0")
    exact, single = (run_torch(experiment, dense, data, t) for t in (torch.float64, torch.float32))
    mine, good = read_coppice(dense), True
    assert len(mine.losses) == len(exact.losses)
    print(f"loss {exact.losses[0]:.4f} to {exact.losses[-1]:.4f} in {len(exact.losses)} steps")
    for step, floor in (0, 1e-5), (1, 1e-4), (len(exact.losses) - 1, 1e-3):
        own, theirs = (numpy.max(numpy.abs(r.losses / exact.losses - 1)[:step + 1]) for r in (mine, single))
        good = good and own <= TIMES * theirs + floor
        print(f"losses to step {step + 1}: off by {own:.2g}, PyTorch in float32 by {theirs:.2g}")
    rate = experiment["train"]["optimizer"]["lr"]
    for what, least, floor in ("first", 1e-2 * rate, 5e-3), ("weights", 1e-4, 5e-2), ("statistics", 1e-2, 2e-3):
        own, theirs = (worst(getattr(r, what), getattr(exact, what), least) for r in (mine, single))
        good = good and own[0] <= TIMES * theirs[0] + floor
        print(f"{what}: off by {own[0]:.2g} ({own[1]}), PyTorch in float32 by {theirs[0]:.2g} ({theirs[1]})")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
