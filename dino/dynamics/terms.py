"""Terms of equations as text: the list of candidates is data.

A term names the channel whose tendency it adds to, and an expression:

    u: dx(u**2)                              self-advection in conservation form
    u: lap(u)                                diffusion
    w: dx(py(w)*w) - dy(px(w)*w)             transport by the stream function of the vorticity w
    v: u*v**2                                a reaction
    u: cos(2, 1)*t**3                        a forcing: the harmonic (2, 1) of the box, times a power of the time
    s: s*spline(a, 3, 12, 0.1, 2.5)          a function of a channel: number 3 (from 0) of 12 cubic splines
                                             between two values

An expression is a sum of products of numbers, channels, powers and operators of one channel; one operator may stand
around a product. `dx`, `dy`, `dxx`, ..., `lap`, `lap2` (the Laplacian twice) are derivatives; `lap5` and `lap9` are the
five-point and the nine-point Laplacian of a grid; `px`, `py` are those of the stream function, the inverse Laplacian.
The time is `t`.
"""

import ast
import keyword
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from ..errors import ConfigError

OPERATORS = re.compile(r"d[xy]+|lap[2-59]?|p[xy]?|id")
IDENTITY = "id"
WAVES = ("cos", "sin")
FEWEST_SPLINES = 4  # cubic ones reach over four intervals


@dataclass(frozen=True)
class Factor:
    """An operator on a channel, or a given harmonic: operator "cos" or "sin" with its indices along x, then y.

    Operator "spline" is a function of the channel's value; its shape is (number, count, low, high).
    """

    operator: str
    channel: str = ""
    harmonic: tuple[int, ...] = ()
    shape: tuple[float, ...] = ()


@dataclass(frozen=True)
class Monomial:
    """weight * outer(product of factors) * t**power."""

    weight: float = 1.0
    outer: str = IDENTITY
    factors: tuple[Factor, ...] = ()
    power: int = 0

    @property
    def channels(self) -> tuple[Factor, ...]:
        """The factors that depend on the state."""
        return tuple(factor for factor in self.factors if factor.channel)

    @property
    def is_linear(self) -> bool:
        """Whether it is an operator of one channel and nothing else."""
        return len(self.factors) == len(self.channels) == 1 and self.power == 0 and not self.factors[0].shape


@dataclass(frozen=True)
class Term:
    """A candidate of the tendency of `target`, as it was written."""

    text: str
    target: str
    monomials: tuple[Monomial, ...] = field(repr=False)

    @property
    def is_linear(self) -> bool:
        """Whether it is linear in the state, with coefficients that are the same everywhere and always."""
        return all(monomial.is_linear for monomial in self.monomials)

    @property
    def degree(self) -> int:
        """The largest number of channels that are multiplied."""
        return max(len(monomial.channels) for monomial in self.monomials)


def parse_terms(texts: Iterable[str], channels: Iterable[str]) -> tuple[Term, ...]:
    """Terms of candidates as text; ConfigError says which one is not understood and why."""
    known, made = tuple(channels), []
    for name in known:
        if not name.isidentifier() or keyword.iskeyword(name) or name == "t":
            raise ConfigError(
                f"channel {name!r} cannot stand in a term; rename it to letters, digits and _, other than t, the time"
            )
    for text in texts:
        target, colon, expression = text.partition(":")
        if not colon or target.strip() not in known:
            raise ConfigError(
                f"term {text!r} wants the form 'channel: expression' with a channel of {', '.join(known)}"
            )
        try:
            tree = ast.parse(expression.strip(), mode="eval").body
            made.append(Term(text, target.strip(), tuple(_sum(tree, known))))
        except (SyntaxError, ValueError) as error:
            why = error.msg if isinstance(error, SyntaxError) else error
            raise ConfigError(f"term {text!r} is not understood: {why}; see dino.dynamics.terms") from error
    return tuple(made)


def _sum(tree: ast.expr, known: tuple[str, ...]) -> list[Monomial]:
    """Monomials of a sum."""
    if isinstance(tree, ast.BinOp) and isinstance(tree.op, ast.Add | ast.Sub):
        right = _sum(tree.right, known)
        return _sum(tree.left, known) + (_negative(right) if isinstance(tree.op, ast.Sub) else right)
    if isinstance(tree, ast.UnaryOp) and isinstance(tree.op, ast.USub):
        return _negative(_sum(tree.operand, known))
    return [_product(tree, known)]


def _negative(monomials: list[Monomial]) -> list[Monomial]:
    return [Monomial(-each.weight, each.outer, each.factors, each.power) for each in monomials]


def _product(tree: ast.expr, known: tuple[str, ...]) -> Monomial:
    """The monomial of a product."""
    match tree:
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            return _times(_product(left, known), _product(right, known))
        case ast.BinOp(left=left, op=ast.Pow(), right=ast.Constant(value=int(power))) if power >= 1:
            made = base = _product(left, known)
            for _ in range(power - 1):
                made = _times(made, base)
            return made
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool) and math.isfinite(value):
            return Monomial(weight=float(value))
        case ast.UnaryOp(op=ast.USub(), operand=inner):
            return _negative([_product(inner, known)])[0]
        case ast.Name(id="t"):
            return Monomial(power=1)
        case ast.Name(id=name) if name in known:
            return Monomial(factors=(Factor(IDENTITY, name),))
        case ast.Call(func=ast.Name(id=name), args=[_] | [_, _] as arguments) if name in WAVES:
            return Monomial(factors=(Factor(name, harmonic=tuple(_whole(each) for each in arguments)),))
        case ast.Call(func=ast.Name(id="spline"), args=[ast.Name(id=name), *shape]) if (
            name in known and len(shape) == 4
        ):
            return Monomial(factors=(Factor("spline", name, shape=_shape(shape)),))
        case ast.Call(func=ast.Name(id=name), args=[inner]) if OPERATORS.fullmatch(name):
            return _operated(name, _product(inner, known))
        case _:
            raise ValueError(f"{ast.unparse(tree)!r} is no channel of {', '.join(known)}, number, product or operator")


def _operated(name: str, inner: Monomial) -> Monomial:
    if not inner.factors:
        raise ValueError(f"{name} of a constant is nothing; leave it out")
    if inner.outer != IDENTITY or (len(inner.factors) == 1 and inner.factors[0].operator not in (IDENTITY, *WAVES)):
        raise ValueError(f"{name} stands around another operator; write one operator, as dxx for dx(dx())")
    if len(inner.factors) == 1 and inner.factors[0].channel:
        return Monomial(inner.weight, IDENTITY, (Factor(name, inner.factors[0].channel),), inner.power)
    return Monomial(inner.weight, name, inner.factors, inner.power)


def _times(one: Monomial, other: Monomial) -> Monomial:
    if IDENTITY not in (one.outer, other.outer) or (one.outer != other.outer and one.factors and other.factors):
        raise ValueError("an operator around a product cannot be multiplied again")
    outer = other.outer if one.outer == IDENTITY else one.outer
    return Monomial(one.weight * other.weight, outer, one.factors + other.factors, one.power + other.power)


def _whole(tree: ast.expr) -> int:
    value = _number(tree)
    if not isinstance(value, int):
        raise ValueError(f"{ast.unparse(tree)} is no index of a harmonic; give whole numbers")
    return value


def _shape(trees: list[ast.expr]) -> tuple[float, ...]:
    """Number, count, low and high of a spline."""
    number, count, low, high = (_number(tree) for tree in trees)
    if not (isinstance(number, int) and isinstance(count, int) and count >= FEWEST_SPLINES and 0 <= number < count):
        raise ValueError(f"spline {number} of {count} came; count at least {FEWEST_SPLINES} of them, from 0")
    if not low < high:
        raise ValueError(f"a spline from {low} to {high} has no width; give the lower value first")
    return float(number), float(count), float(low), float(high)


def _number(tree: ast.expr) -> float:
    try:
        value = ast.literal_eval(tree)
    except ValueError as error:
        raise ValueError(f"{ast.unparse(tree)} came where a number was wanted") from error
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{ast.unparse(tree)} came where a number was wanted")
    return value


def library(channels: Iterable[str], dimensions: int, *, order: int = 4, degree: int = 2) -> list[str]:
    """Candidates that name no equation: local terms, the same everywhere and, in two dimensions, in every direction.

    The constant; derivatives of every channel up to `order`; products of channels up to `degree`, and in one
    dimension the first three derivatives of these.
    """
    names, texts = list(channels), []
    linear = {0: [""], 1: ["", "dx", "dxx", "dxxx", "dxxxx"][: order + 1], 2: ["", "lap", "lap2"][: order // 2 + 1]}
    around = {0: [""], 1: ["", "dx", "dxx", "dxxx"], 2: [""]}[dimensions]
    for target in names:
        texts.append(f"{target}: 1")
        texts += [
            f"{target}: {op}({name})" if op else f"{target}: {name}" for name in names for op in linear[dimensions]
        ]
        for product in _products(names, degree):
            texts += [f"{target}: {op}({product})" if op else f"{target}: {product}" for op in around]
    return texts


def _products(names: list[str], degree: int) -> list[str]:
    """Products of two to `degree` names, each once."""
    made, last = [], [(name,) for name in names]
    for _ in range(degree - 1):
        last = [(*each, name) for each in last for name in names if name >= each[-1]]
        made += ["*".join(each) for each in last]
    return made


def forcing(channels: Iterable[str], dimensions: int, waves: int, powers: int) -> list[str]:
    """Candidates of a forcing: every harmonic up to the index `waves` along each axis, times powers of the time."""
    indices = [(x,) for x in range(1, waves + 1)]
    if dimensions == 2:
        indices = [(x, y) for x in range(waves + 1) for y in range(-waves, waves + 1) if x > 0 or y > 0]
    texts = []
    for channel in channels:
        for index in indices:
            for wave in WAVES:
                term = f"{channel}: {wave}({', '.join(map(str, index))})"
                texts += [term] + [f"{term}*t**{power}" for power in range(1, powers + 1)]
    return texts
