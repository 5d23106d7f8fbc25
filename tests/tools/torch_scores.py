"""torch_scores.py RUN DATA SCORES CRITERION: scores of coppice's beside PyTorch's, in float64.

SCORES is what score_weights wrote, with its list of tensors on stdin. The training set must be one batch. Networks and
files are those of torch_net.py; scores are written here as their papers have them, with PyTorch's own second
derivatives. Prints the largest error of a tensor, as a part of its norm; exits 1 where it is above LIMIT.
"""
import json
import os
import sys

import h5py
import numpy
import torch
from torch.nn import functional as F

import torch_net

LIMIT = 1e-9


class Network(torch_net.Network):
    """The same with batch norms that go by the batch, or by the running statistics."""
    by_batch = True

    def conv_bn(self, x, name, stride=1, groups=1):
        x, bn = self.conv(x, name + "conv", stride, groups), name + "bn/"
        mean, variance = (self.b[bn + k].clone() for k in ("running_mean", "running_var"))
        return F.batch_norm(x, mean, variance, self.p[bn + "weight"], self.p[bn + "bias"], self.by_batch, 0.1, 1e-5)


def read_batch(path):
    """Images as coppice has them: pixel * scale + shift in float32."""
    with h5py.File(path, "r") as file:
        mean, deviation = (file.attrs[k].astype(numpy.float32) for k in ("mean", "std"))
        scale, shift = numpy.float32(1) / (numpy.float32(255) * deviation), -mean / deviation
        pixels = file["train/images"][()].astype(numpy.float32) * scale + shift
        return (torch.tensor(numpy.moveaxis(pixels, 3, 1).astype(numpy.float64)),
                torch.tensor(file["train/labels"][()].astype(numpy.int64)))


def weights_of(net):
    return {k: v for k, v in net.p.items() if k.endswith("/weight") and v.dim() > 1}


def sensitivity(net, run, x, label, w):
    """SNIP, and gradient times weight at the end."""
    g = torch.autograd.grad(F.cross_entropy(run(net, x), label), list(w.values()))
    return [abs(a * b) for a, b in zip(w.values(), g)]


def grasp(net, run, x, label, w):
    g = torch.autograd.grad(F.cross_entropy(run(net, x) / 200, label), list(w.values()), create_graph=True)
    flow = sum((a * a.detach()).sum() for a in g)
    return [a * b for a, b in zip(w.values(), torch.autograd.grad(flow, list(w.values())))]


def synflow(net, run, x, label, w):
    net.by_batch = False
    with torch.no_grad():
        for tensor in [*net.p.values(), *net.b.values()]:
            tensor.abs_()
    g = torch.autograd.grad(run(net, torch.ones_like(x[:1])).sum(), list(w.values()))
    return [a * b for a, b in zip(w.values(), g)]


SCORES = {"snip": ("init.h5", sensitivity), "grasp": ("init.h5", grasp), "synflow": ("init.h5", synflow),
          "gradient-weight": ("final.h5", sensitivity)}


def main(run, data, path, criterion):
    torch.set_num_threads(2)
    with open(os.path.join(run, "experiment.json")) as file:
        experiment = json.load(file)
    checkpoint, work_out = SCORES[criterion]
    net = Network(os.path.join(run, "dense", "0", checkpoint), torch.float64)
    model, w = experiment["model"], weights_of(net)
    wanted = dict(zip(w, work_out(net, lambda n, x: torch_net.NETWORKS[model["name"]](n, x, model), *read_batch(data), w)))
    mine, at, worst = numpy.fromfile(path), 0, 0.0
    names = [line.split() for line in sys.stdin]
    assert {n for n, _ in names} == set(w), "other tensors"
    for name, count in names:
        got, at = torch.tensor(mine[at:at + int(count)]), at + int(count)
        exact = wanted[name].detach().flatten()
        worst = max(worst, float((got - exact).norm() / exact.norm()))
    assert at == len(mine)
    print(f"{criterion}: off by {worst:.2g}")
    return 0 if worst < LIMIT else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
