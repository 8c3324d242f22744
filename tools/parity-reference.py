#!/usr/bin/env python3
"""Writes what PyTorch computes in float64 for `kinesic parity`: operations, the objective, ten steps of two networks.

Needs the packages `torch`, `torchvision` and `numpy` of this Python, and minutes of a CPU:

    python3 tools/parity-reference.py --seed 2 --batch 16 --hw 64 --out golden.json
    cargo run --release -- parity golden.json

The networks are recorded in float32 too, which says how far rounding takes them. Inputs, labels and weights come from a generator
that counts, which any language can repeat, so the file holds results only. uniform(name, i), in [-1, 1):

    h = fnv1a64(name) + seed * 0x9E3779B97F4A7C15            (mod 2^64)
    z = h + (i + 1) * 0x9E3779B97F4A7C15                     (mod 2^64)
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 ; z = (z ^ (z >> 27)) * 0x94D049BB133111EB ; z ^= z >> 31
    uniform = (z >> 40) / 2^23 - 1

Operations are in NCHW and OIHW order: case NAME has x = uniform(NAME.x), weights uniform(NAME.w) * sqrt(3 / fan_in), bias
0.1 * uniform(NAME.b), upstream gradient uniform(NAME.grad_y). A result is recorded as its shape, its Euclidean norm and its dot
products with uniform(proj.0) .. uniform(proj.7) of its own length.
"""

import argparse
import json
import math
import random

import numpy as np
import torch
import torchvision

M = (1 << 64) - 1


def fnv(s):
    h = 0xCBF29CE484222325
    for b in s.encode():
        h = ((h ^ b) * 0x100000001B3) & M
    return h


def uniform(name, n, seed):
    with np.errstate(over="ignore"):
        h = np.uint64((fnv(name) + seed * 0x9E3779B97F4A7C15) & M)
        z = h + (np.arange(1, n + 1, dtype=np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(40)).astype(np.float64) / (1 << 23) - 1


EMO = ["neutral", "anger", "disgust", "fear", "happiness", "sadness", "surprise"]
AU = [1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 24, 25, 26]
T = {
    "happiness": ([12, 25], {6: 0.51}),
    "sadness": ([4, 15], {1: 0.6, 6: 0.5, 11: 0.26, 17: 0.67}),
    "fear": ([1, 4, 20, 25], {2: 0.57, 5: 0.63, 26: 0.33}),
    "anger": ([4, 7, 24], {10: 0.26, 17: 0.52, 23: 0.29}),
    "surprise": ([1, 2, 25, 26], {5: 0.66}),
    "disgust": ([9, 10, 17], {4: 0.31, 24: 0.26}),
}


def table(weighted):
    R = np.zeros((7, 17))
    for e, (p, o) in T.items():
        for a in p:
            R[EMO.index(e), AU.index(a)] = 1
        for a, w in o.items():
            if a in AU:
                R[EMO.index(e), AU.index(a)] = w if weighted else 1
    return R


def losses(expr, au, va, y, am, av, vm, vy, cfg):
    """expr[B,7] au[B,17] va[B,2] logits/outputs; y[B] class or -1; am/av AU mask/value; vm[B] mask; vy[B,2]"""
    d = expr.dtype
    out = {}
    has = y >= 0
    out["expression"] = torch.nn.functional.cross_entropy(expr[has], y[has]) if has.any() else expr.sum() * 0
    bce = torch.nn.functional.binary_cross_entropy_with_logits(au, av, reduction="none") * am
    rows = am.sum(1) > 0
    out["au"] = (bce.sum(1)[rows] / am.sum(1)[rows]).mean() if rows.any() else au.sum() * 0
    if vm.sum() > 1:
        p = va[vm > 0]
        t = vy[vm > 0]
        c = []
        for k in range(2):
            a, b = t[:, k], p[:, k]
            ma, mb = a.mean(), b.mean()
            c.append(
                2 * ((a - ma) * (b - mb)).mean() / (((a - ma) ** 2).mean() + ((b - mb) ** 2).mean() + (ma - mb) ** 2)
            )
        out["va"] = 1 - (c[0] + c[1]) / 2
    else:
        out["va"] = va.sum() * 0
    R = torch.tensor(table(cfg["weighted"]), dtype=d, device=expr.device)
    Rw = torch.tensor(table(True), dtype=d, device=expr.device)
    p_au = torch.sigmoid(au)
    q = (torch.softmax(expr, 1) @ R).clamp(cfg["eps"], 1 - cfg["eps"])
    pos = -(p_au * q.log())
    neg = -((1 - p_au) * (1 - q).log())
    dm = (pos + neg) if cfg["form"] == "bernoulli" else pos
    out["dm"] = dm.sum(1).mean()
    full = am.sum(1) > 0
    if full.any():
        s = (am[full] * av[full]) @ Rw.T
        q_expr = torch.softmax(s, 1)
        out["sca"] = -(q_expr * torch.log_softmax(expr[full], 1)).sum(1).mean()
    else:
        out["sca"] = expr.sum() * 0
    out["total"] = sum(cfg["lambda"][k] * out[k] for k in ("expression", "au", "va", "dm", "sca"))
    return out


def batch(B, seed, dtype, dev, hw=None):
    g = lambda n, *s: torch.tensor(uniform(n, math.prod(s), seed).reshape(s), dtype=dtype, device=dev)
    kind = np.arange(B) % 4  # 0 expression, 1 AU, 2 valence-arousal, 3 expression + valence-arousal
    y = torch.tensor(
        [int((uniform("label.expression", B, seed)[i] + 1) / 2 * 7) if kind[i] in (0, 3) else -1 for i in range(B)],
        device=dev,
    )
    au_row = torch.tensor((kind == 1).astype(float), dtype=dtype, device=dev)[:, None]
    am = au_row * (g("label.au_mask", B, 17) > -0.6).to(dtype)
    av = (g("label.au", B, 17) > 0.2).to(dtype) * am
    vm = torch.tensor((kind >= 2).astype(float), dtype=dtype, device=dev)
    vy = g("label.va", B, 2)
    x = g("image", B, 3, hw, hw) if hw else None
    return x, (y, am, av, vm, vy)


def net(arch, seed, dtype, dev):
    m = getattr(torchvision.models, arch)(num_classes=26).to(dtype).to(dev)
    with torch.no_grad():
        for n, p in m.named_parameters():
            if p.dim() == 4:
                s = math.sqrt(6.0 / (p.shape[1] * p.shape[2] * p.shape[3]))
            elif p.dim() == 2:
                s = math.sqrt(3.0 / p.shape[1])
            elif n.endswith("weight"):
                p.copy_(torch.tensor(1 + 0.1 * uniform(n, p.numel(), seed), dtype=dtype))
                continue
            else:
                s = 0.1
            p.copy_(torch.tensor(s * uniform(n, p.numel(), seed).reshape(p.shape), dtype=dtype))
    return m


def ops(seed):
    F = torch.nn.functional
    rnd = random.Random(seed)
    out = []

    def draw(n, shape, scale=1.0, grad=True):
        return torch.tensor(
            scale * uniform(n, math.prod(shape), seed).reshape(shape), dtype=torch.float64
        ).requires_grad_(grad)

    def rec(t):
        v = t.detach().reshape(-1).numpy()
        return dict(
            shape=list(t.shape),
            norm=float(np.linalg.norm(v)),
            proj=[float(v @ uniform(f"proj.{k}", v.size, seed)) for k in range(8)],
        )

    def close(c, y, **leaves):
        y.backward(draw(c["name"] + ".grad_y", tuple(y.shape), grad=False))
        c["y"] = rec(y)
        for k, t in leaves.items():
            if t is not None:
                c["grad_" + k] = rec(t.grad)
        out.append(c)

    name = lambda: f"op{len(out)}"
    # convolutions: backbone layers, then drawn ones with awkward sizes
    convs = [
        (2, 3, 56, 56, 64, 7, 7, 2, 2, 3, 3, 1),
        (2, 64, 28, 28, 64, 3, 3, 1, 1, 1, 1, 1),
        (2, 64, 28, 28, 256, 1, 1, 1, 1, 0, 0, 1),
        (2, 256, 28, 28, 512, 1, 1, 2, 2, 0, 0, 1),
        (3, 512, 7, 7, 512, 3, 3, 1, 1, 1, 1, 1),
        (2, 128, 14, 14, 128, 3, 3, 2, 2, 1, 1, 1),
        (2, 96, 24, 24, 96, 3, 3, 1, 1, 1, 1, 96),
        (2, 96, 24, 24, 96, 3, 3, 2, 2, 1, 1, 96),
        (1, 2048, 4, 4, 512, 1, 1, 1, 1, 0, 0, 1),
    ]
    for _ in range(16):
        r, t = rnd.choice([1, 2, 3, 5, 7]), rnd.choice([1, 2, 3, 5, 7])
        c, k = rnd.choice([1, 2, 3, 5, 8, 17, 33, 64]), rnd.choice([1, 2, 3, 7, 16, 31, 65])
        g = 1
        if rnd.random() < 0.25:
            c = k = rnd.choice([3, 8, 13, 32])
            g = c
        ph, pw = rnd.randint(0, r // 2), rnd.randint(0, t // 2)
        convs.append(
            (
                rnd.choice([1, 2, 3, 5]),
                c,
                rnd.randint(max(r, 1), 37),
                rnd.randint(max(t, 1), 37),
                k,
                r,
                t,
                rnd.choice([1, 1, 2, 3]),
                rnd.choice([1, 1, 2, 3]),
                ph,
                pw,
                g,
            )
        )
    for n, c, h, w, k, r, t, sh, sw, ph, pw, g in convs:
        m = name()
        x = draw(m + ".x", (n, c, h, w))
        f = draw(m + ".w", (k, c // g, r, t), math.sqrt(3 / (c // g * r * t)))
        b = draw(m + ".b", (k,), 0.1) if len(out) % 2 else None
        close(
            dict(
                op="conv2d",
                name=m,
                x=[n, c, h, w],
                w=[k, c // g, r, t],
                bias=b is not None,
                stride=[sh, sw],
                padding=[ph, pw],
                groups=g,
            ),
            F.conv2d(x, f, b, (sh, sw), (ph, pw), 1, g),
            x=x,
            w=f,
            bias=b,
        )
    for n, c, h, w in [(8, 64, 14, 14), (1, 5, 3, 1), (2, 2048, 4, 4), (16, 7, 9, 11), (3, 130, 1, 1), (64, 3, 17, 5)]:
        for train in (True, False):
            m = name()
            x = draw(m + ".x", (n, c, h, w))
            f = (1 + 0.5 * draw(m + ".w", (c,), 1, False)).requires_grad_()
            b = draw(m + ".b", (c,), 0.1)
            rm = draw(m + ".running_mean", (c,), 0.1, False)
            rv = 1 + 0.5 * draw(m + ".running_var", (c,), 1, False)
            e = dict(
                op="batch_norm",
                name=m,
                x=[n, c, h, w],
                training=train,
                momentum=0.1,
                eps=1e-5,
                note="w = 1 + 0.5 uniform, running_mean 0.1 uniform, running_var 1 + 0.5 uniform",
            )
            y = F.batch_norm(x, rm, rv, f, b, train, 0.1, 1e-5)
            if train:
                e["running_mean_after"], e["running_var_after"] = rec(rm), rec(rv)
            close(e, y, x=x, w=f, bias=b)
    for n, c, h, w, k, st, pd in [
        (2, 64, 28, 28, 3, 2, 1),
        (1, 3, 7, 9, 2, 2, 0),
        (3, 17, 11, 5, 3, 1, 1),
        (2, 5, 13, 13, 5, 3, 2),
    ]:
        m = name()
        x = draw(m + ".x", (n, c, h, w))
        close(
            dict(op="max_pool2d", name=m, x=[n, c, h, w], kernel=k, stride=st, padding=pd),
            F.max_pool2d(x, k, st, pd),
            x=x,
        )
        m = name()
        x = draw(m + ".x", (n, c, h, w))
        close(
            dict(op="avg_pool2d", name=m, x=[n, c, h, w], kernel=k, stride=st, padding=0), F.avg_pool2d(x, k, st), x=x
        )
        m = name()
        x = draw(m + ".x", (n, c, h, w))
        close(dict(op="global_avg_pool2d", name=m, x=[n, c, h, w]), x.mean((2, 3)), x=x)
    for n, c, k in [(64, 2048, 26), (1, 512, 7), (17, 33, 65), (256, 128, 1)]:
        m = name()
        x = draw(m + ".x", (n, c))
        f = draw(m + ".w", (k, c), math.sqrt(3 / c))
        b = draw(m + ".b", (k,), 0.1)
        close(dict(op="linear", name=m, x=[n, c], w=[k, c], bias=True), F.linear(x, f, b), x=x, w=f, bias=b)
    for kind, kw in [
        ("adam", dict(lr=1e-3, betas=(0.9, 0.999), eps=1e-8)),
        ("adam", dict(lr=1e-2, betas=(0.8, 0.99), eps=1e-8, weight_decay=0.01)),
        ("adamw", dict(lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.05)),
        ("sgd", dict(lr=0.1, momentum=0.9, weight_decay=1e-4)),
        ("sgd", dict(lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-4)),
    ]:
        m = name()
        q = draw(m + ".x", (1003,))
        o = dict(adam=torch.optim.Adam, adamw=torch.optim.AdamW, sgd=torch.optim.SGD)[kind]([q], **kw)
        for t in range(6):
            q.grad = draw(f"{m}.g{t}", (1003,), 1, False)
            o.step()
        out.append(
            dict(op=kind, name=m, x=[1003], steps=6, note="gradient of step t = uniform(NAME.gt)", **kw, y=rec(q))
        )
    return out


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--seed", type=int, default=1)
    a.add_argument("--out", default="golden.json")
    a.add_argument("--hw", type=int, default=64)
    a.add_argument("--batch", type=int, default=16)
    a = a.parse_args()
    dev = "cuda" if torch.cuda.is_available() else "cpu"
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    cfgs = {
        "paper": dict(form="positive", weighted=False, eps=1e-6),
        "bernoulli": dict(form="bernoulli", weighted=False, eps=1e-6),
        "weighted": dict(form="bernoulli", weighted=True, eps=1e-6),
    }
    for c in cfgs.values():
        c["lambda"] = dict(expression=1.0, au=1.0, va=1.0, dm=1.0, sca=1.0)
    out = dict(
        seed=a.seed,
        expressions=EMO,
        action_units=AU,
        table_weighted=table(True).tolist(),
        configs=cfgs,
        ops=ops(a.seed),
        loss=[],
        network=[],
    )
    for B in (1, 4, 16, 37, 64):
        for name, cfg in cfgs.items():
            _, lab = batch(B, a.seed, torch.float64, dev)
            z = [
                torch.tensor(
                    3 * uniform("head." + k, B * n, a.seed).reshape(B, n),
                    dtype=torch.float64,
                    device=dev,
                    requires_grad=True,
                )
                for k, n in (("expression", 7), ("au", 17), ("va", 2))
            ]
            o = losses(*z, *lab, cfg)
            o["total"].backward()
            out["loss"].append(
                dict(
                    batch=B,
                    config=name,
                    values={k: v.item() for k, v in o.items()},
                    grad_expression=(z[0].grad if z[0].grad is not None else z[0] * 0).flatten().tolist(),
                    grad_au=z[1].grad.flatten().tolist(),
                    grad_va=(z[2].grad if z[2].grad is not None else z[2] * 0).flatten().tolist(),
                )
            )
    for arch in ("resnet18", "resnet50"):
        for dt in (torch.float64, torch.float32):
            torch.manual_seed(0)
            m = net(arch, a.seed, dt, dev)
            x, lab = batch(a.batch, a.seed, dt, dev, a.hw)
            cfg = cfgs["bernoulli"]
            opt = torch.optim.Adam(m.parameters(), lr=1e-4)
            rec = dict(arch=arch, dtype=str(dt), batch=a.batch, hw=a.hw, lr=1e-4, steps=[])
            m.train()
            for step in range(10):
                opt.zero_grad()
                z = m(x)
                o = losses(z[:, :7], z[:, 7:24], z[:, 24:], *lab, cfg)
                o["total"].backward()
                if step == 0:
                    rec["train_logits"] = z.detach().flatten().tolist()
                    rec["grad_norm"] = {n: p.grad.norm().item() for n, p in m.named_parameters()}
                rec["steps"].append({k: v.item() for k, v in o.items()})
                opt.step()
            m.eval()
            with torch.no_grad():
                rec["eval_logits_after"] = m(x).flatten().tolist()
            rec["running_var_bn1"] = m.bn1.running_var.tolist()
            out["network"].append(rec)
            print(arch, dt, [round(s["total"], 5) for s in rec["steps"]], flush=True)
    json.dump(out, open(a.out, "w"))


if __name__ == "__main__":
    main()
