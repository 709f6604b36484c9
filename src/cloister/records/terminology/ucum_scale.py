"""What a UCUM unit is worth, so that quantities in different units can be compared. Spec: https://ucum.org/ucum 2.2, sections 3 and 4.

Values are those of ucum-essence.xml (UCUM licence, docs/data-sources.md), exact where its are. What has no value here (arbitrary
units such as [iU], counts such as [CFU]) is comparable with itself alone, prefixes and powers included. Amount of substance is
kept apart from numbers, so that mmol/L is never compared with 10*9/L. Of the special units only temperatures are converted.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from cloister.records.terminology import ucum

UCUM: Final = "http://unitsofmeasure.org"
PREFIX: Final = {
    "Y": 24, "Z": 21, "E": 18, "P": 15, "T": 12, "G": 9, "M": 6, "k": 3, "h": 2, "da": 1, "d": -1, "c": -2, "m": -3, "u": -6, "n": -9,
    "p": -12, "f": -15, "a": -18, "z": -21, "y": -24,
}  # fmt: skip
BINARY: Final = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40}
BASE: Final = frozenset({"m", "s", "g", "rad", "K", "C", "cd", "mol"})
# Atom, how many of which unit; read top-down, each from those above and the base units.
WORTH: Final = {
    atom: (Fraction(number), of)
    for atom, number, of in (
        line.split()
        for line in """
    10* 10 1
    10^ 10 1
    % 1/100 1
    [ppth] 1/1000 1
    [ppm] 1/1000000 1
    [ppb] 1/1000000000 1
    [pptr] 1/1000000000000 1
    l 1 dm3
    L 1 dm3
    ar 100 m2
    t 1000 kg
    min 60 s
    h 60 min
    d 24 h
    wk 7 d
    a_j 36525/100 d
    a_g 3652425/10000 d
    a_t 36524219/100000 d
    a 1 a_j
    mo_j 1/12 a_j
    mo_g 1/12 a_g
    mo_s 2953059/100000 d
    mo 1 mo_j
    Hz 1 s-1
    N 1 kg.m/s2
    Pa 1 N/m2
    J 1 N.m
    W 1 J/s
    A 1 C/s
    V 1 J/C
    F 1 C/V
    Ohm 1 V/A
    S 1 Ohm-1
    mho 1 S
    Wb 1 V.s
    T 1 Wb/m2
    H 1 Wb/A
    sr 1 rad2
    lm 1 cd.sr
    lx 1 lm/m2
    Bq 1 s-1
    Ci 37000000000 Bq
    R 258/1000000 C/kg
    Gy 1 J/kg
    Sv 1 J/kg
    RAD 1/100 Gy
    REM 1/100 Sv
    bar 100000 Pa
    atm 101325 Pa
    m[H2O] 980665/100000 kPa
    m[Hg] 133322/1000 kPa
    dyn 1 g.cm/s2
    erg 1 dyn.cm
    P 1 dyn.s/cm2
    St 1 cm2/s
    Ao 1/10 nm
    eq 1 mol
    osm 1 mol
    g% 1 g/dl
    kat 1 mol/s
    U 1 umol/min
    cal_th 4184/1000 J
    cal 1 cal_th
    [Cal] 1 kcal_th
    cal_IT 41868/10000 J
    [in_i] 254/100 cm
    [ft_i] 12 [in_i]
    [yd_i] 3 [ft_i]
    [mi_i] 5280 [ft_i]
    [sin_i] 1 [in_i]2
    [sft_i] 1 [ft_i]2
    [gr] 6479891/100000 mg
    [lb_av] 7000 [gr]
    [oz_av] 1/16 [lb_av]
    [dr_av] 1/16 [oz_av]
    [stone_av] 14 [lb_av]
    [lbf_av] 980665/100000 [lb_av].m/s2
    [psi] 1 [lbf_av]/[in_i]2
    [gal_us] 231 [in_i]3
    [qt_us] 1/4 [gal_us]
    [pt_us] 1/2 [qt_us]
    [gil_us] 1/4 [pt_us]
    [foz_us] 1/4 [gil_us]
    [cup_us] 16 [tbs_us]
    [tbs_us] 1/2 [foz_us]
    [tsp_us] 1/3 [tbs_us]
    [foz_m] 30 mL
    [cup_m] 240 mL
    [tsp_m] 5 mL
    [tbs_m] 15 mL
    [drp] 1/20 ml
    [diop] 1 m-1
    [Ch] 1/3 mm
    [IU] 1 [iU]
    """.strip().splitlines()
    )
}
ANGLES: Final = {"[pi]": Fraction(math.pi), "deg": Fraction(math.pi) / 180}
# Temperatures: kelvins a degree, and where its zero is.
DEGREES: Final = {
    "Cel": (Fraction(1), Fraction(27315, 100)), "[degF]": (Fraction(5, 9), Fraction(45967, 180)), "[degR]": (Fraction(5, 9), Fraction(0)),
    "K": (Fraction(1), Fraction(0)),
}  # fmt: skip

Dimension = tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Worth:
    """How much of which dimension one of a unit is."""

    factor: Fraction
    of: Dimension

    def times(self, other: Worth, power: int = 1) -> Worth:
        powers = dict(self.of)
        for name, exponent in other.of:
            powers[name] = powers.get(name, 0) + exponent * power
        kept = tuple(sorted((name, exponent) for name, exponent in powers.items() if exponent))
        return Worth(self.factor * other.factor**power, kept)


ONE: Final = Worth(Fraction(1), ())


@functools.lru_cache(maxsize=4096)
def conversion(stored: str, asked: str) -> tuple[Fraction, Fraction] | None:
    """(factor, offset) that make of a number in the unit `stored` one in `asked`; None where they measure different things."""
    if stored in DEGREES and asked in DEGREES:
        (one, zero), (other, origin) = DEGREES[stored], DEGREES[asked]
        return one / other, (zero - origin) / other
    have, want = worth(stored), worth(asked)
    if have is None or want is None or have.of != want.of:
        return None
    return have.factor / want.factor, Fraction(0)


@functools.lru_cache(maxsize=4096)
def worth(text: str) -> Worth | None:
    """Of a unit as it stands in a quantity's code; None for what is no unit, or has another scale than a proportional one."""
    if not ucum.is_unit(text) or len(text) > 100:
        return None
    try:
        found, at = _term(text, 0)
    except (ValueError, OverflowError):
        return None
    return found if at == len(text) else None


def _term(text: str, at: int) -> tuple[Worth, int]:
    """Operators go from left to right, each for the next component alone."""
    power = 1
    if text[at : at + 1] == "/":
        power, at = -1, at + 1
    first, at = _component(text, at)
    found = ONE.times(first, power)
    while text[at : at + 1] in (".", "/") and at < len(text):
        power = 1 if text[at] == "." else -1
        following, at = _component(text, at + 1)
        found = found.times(following, power)
    return found, at


def _component(text: str, at: int) -> tuple[Worth, int]:
    if text[at : at + 1] == "(":
        found, at = _term(text, at + 1)
        at += 1
    elif note := ucum.ANNOTATION.match(text, at):
        return ONE, note.end()
    else:
        simple = ucum.SIMPLE.match(text, at)
        if simple is None:
            raise ValueError("atom")
        found, at = _simple(simple[0]), simple.end()
    after = ucum.ANNOTATION.match(text, at)
    return found, after.end() if after is not None else at


def _simple(text: str) -> Worth:
    if ucum.NUMBER.fullmatch(text):
        if not int(text):
            raise ValueError("zero")  # nothing is measured in it
        return Worth(Fraction(int(text)), ())
    atom = _atom(text)
    if atom is not None:
        return atom
    exponent = ucum.EXPONENT.search(text)
    base = _atom(text[: exponent.start()]) if exponent is not None else None
    if exponent is None or base is None or abs(int(exponent[0])) > 30:
        raise ValueError("atom")
    return ONE.times(base, int(exponent[0]))


@functools.lru_cache(maxsize=1024)
def _atom(text: str) -> Worth | None:
    plain = _plain(text)
    if plain is not None:
        return plain
    for prefix in sorted(ucum.PREFIXES, key=len, reverse=True):
        if text.startswith(prefix) and text[len(prefix) :] in ucum.METRIC:
            of = _plain(text[len(prefix) :])
            if of is not None:
                size = Fraction(10) ** PREFIX[prefix] if prefix in PREFIX else Fraction(2) ** BINARY[prefix]
                return Worth(size, ()).times(of)
    return None


def _plain(text: str) -> Worth | None:
    if text in SPECIAL:
        return None
    if text in BASE:
        return Worth(Fraction(1), ((text, 1),))
    if text in ANGLES:
        return Worth(ANGLES[text], ((("rad", 1),) if text == "deg" else ()))
    if text in WORTH:
        number, of = WORTH[text]
        known = worth(of)
        return Worth(number, ()).times(known) if known is not None else None
    if text in ucum.METRIC or text in ucum.OTHER:
        return Worth(Fraction(1), ((text, 1),))
    return None


# Units whose numbers are not proportional to what they measure (UCUM 21): compared with themselves alone.
SPECIAL: Final = frozenset({"Cel", "[degF]", "[degRe]", "[pH]", "Np", "B", "B[SPL]", "B[V]", "B[mV]", "B[uV]", "B[10.nV]", "B[W]", "B[kW]",
                            "bit_s", "%[slope]", "[p'diop]", "[hp'_X]", "[hp'_C]", "[hp'_M]", "[hp'_Q]", "[m/s2/Hz^(1/2)]"})  # fmt: skip
