"""UCUM as a grammar: whether a text is a unit. Spec: https://ucum.org/ucum (version 2.2), sections 2.1 and 2.2, case sensitive.

The codes are those of ucum-essence.xml, used under the UCUM licence (docs/data-sources.md). Nothing is converted here.
"""

from __future__ import annotations

import functools
import re
from typing import Final

CHARACTERS_MAX: Final = 255
DEPTH_MAX: Final = 16


def _codes(text: str) -> frozenset[str]:
    return frozenset(text.split())


PREFIXES: Final = _codes("Y Z E P T G M k h da d c m u n p f a z y Ki Mi Gi Ti")
METRIC: Final = _codes(
    """
    m s g rad K C cd mol sr Hz N Pa J W A V F Ohm S Wb Cel T H lm lx Bq Gy Sv l L ar t bar u eV pc [c] [h] [k] [eps_0] [mu_0] [e] [m_e]
    [m_p] [G] [g] [ly] gf Ky Gal dyn erg P Bi St Mx G Oe Gb sb Lmb ph Ci R RAD REM cal_[15] cal_[20] cal_m cal_IT cal_th cal tex m[H2O]
    m[Hg] eq osm g% kat U [iU] [IU] Np B B[SPL] B[V] B[mV] B[uV] B[10.nV] B[W] B[kW] st mho bit By Bd
    """
)
OTHER: Final = _codes(
    """
    10* 10^ [pi] % [ppth] [ppm] [ppb] [pptr] gon deg ' '' min h d a_t a_j a_g a wk mo_s mo_j mo_g mo AU atm [lbf_av] [in_i] [ft_i] [yd_i]
    [mi_i] [fth_i] [nmi_i] [kn_i] [sin_i] [sft_i] [syd_i] [cin_i] [cft_i] [cyd_i] [bf_i] [cr_i] [mil_i] [cml_i] [hd_i] [ft_us] [yd_us]
    [in_us] [rd_us] [ch_us] [lk_us] [rch_us] [rlk_us] [fth_us] [fur_us] [mi_us] [acr_us] [srd_us] [smi_us] [sct] [twp] [mil_us] [in_br]
    [ft_br] [rd_br] [ch_br] [lk_br] [fth_br] [pc_br] [yd_br] [mi_br] [nmi_br] [kn_br] [acr_br] [gal_us] [bbl_us] [qt_us] [pt_us] [gil_us]
    [foz_us] [fdr_us] [min_us] [crd_us] [bu_us] [gal_wi] [pk_us] [dqt_us] [dpt_us] [tbs_us] [tsp_us] [cup_us] [foz_m] [cup_m] [tsp_m]
    [tbs_m] [gal_br] [pk_br] [bu_br] [qt_br] [pt_br] [gil_br] [foz_br] [fdr_br] [min_br] [gr] [lb_av] [oz_av] [dr_av] [scwt_av] [lcwt_av]
    [ston_av] [lton_av] [stone_av] [pwt_tr] [oz_tr] [lb_tr] [sc_ap] [dr_ap] [oz_ap] [lb_ap] [oz_m] [lne] [pnt] [pca] [pnt_pr] [pca_pr]
    [pied] [pouce] [ligne] [didot] [cicero] [degF] [degR] [degRe] [Cal] [Btu_39] [Btu_59] [Btu_60] [Btu_m] [Btu_IT] [Btu_th] [Btu] [HP]
    [den] [in_i'H2O] [in_i'Hg] [PRU] [wood'U] [diop] [p'diop] %[slope] [mesh_i] [Ch] [drp] [hnsf'U] [MET] [hp'_X] [hp'_C] [hp'_M] [hp'_Q]
    [hp_X] [hp_C] [hp_M] [hp_Q] [kp_X] [kp_C] [kp_M] [kp_Q] [pH] [S] [HPF] [LPF] [arb'U] [USP'U] [GPL'U] [MPL'U] [APL'U] [beth'U]
    [anti'Xa'U] [todd'U] [dye'U] [smgy'U] [bdsk'U] [ka'U] [knk'U] [mclg'U] [tb'U] [CCID_50] [TCID_50] [EID_50] [PFU] [FFU] [CFU] [IR] [BAU]
    [AU] [Amb'a'1'U] [PNU] [Lf] [D'ag'U] [FEU] [ELU] [EU] Ao b att [psi] circ sph [car_m] [car_Au] [smoot] [m/s2/Hz^(1/2)] [NTU] [FNU] bit_s
    """
)
ANNOTATION: Final = re.compile(r"\{[!-z|~]*\}")
# A simple unit with its exponent ends where an operator, a parenthesis or an annotation begins, but not inside [...].
SIMPLE: Final = re.compile(r"(?:\[[^\[\]{}\s]*\]|[!-'*+\-0-Z\\^-z|~])+?(?=[./(){}]|$)")
NUMBER: Final = re.compile(r"[0-9]+")
EXPONENT: Final = re.compile(r"[+-]?[0-9]+$")


@functools.lru_cache(maxsize=4096)
def is_unit(text: str) -> bool:
    """True if the text follows the grammar and every atom is one of UCUM's."""
    if not text or len(text) > CHARACTERS_MAX or not text.isascii():
        return False
    try:
        return _term(text, 0, 0) == len(text)
    except ValueError:
        return False


def _term(text: str, at: int, depth: int) -> int:
    """The end of a term that begins at `at`; raises ValueError when there is none."""
    if depth > DEPTH_MAX:
        raise ValueError("depth")
    if text[at : at + 1] == "/":
        at += 1
    at = _component(text, at, depth)
    while text[at : at + 1] in (".", "/") and at < len(text):
        at = _component(text, at + 1, depth)
    return at


def _component(text: str, at: int, depth: int) -> int:
    if text[at : at + 1] == "(":
        at = _term(text, at + 1, depth + 1)
        if text[at : at + 1] != ")":
            raise ValueError("parenthesis")
        return _annotated(text, at + 1)  # U/(10.g){feces}: not in the BNF of UCUM, and in every list of its examples
    note = ANNOTATION.match(text, at)
    if note is not None:
        return note.end()
    simple = SIMPLE.match(text, at)
    if simple is None or not _simple(simple[0]):
        raise ValueError("atom")
    return _annotated(text, simple.end())


def _annotated(text: str, at: int) -> int:
    note = ANNOTATION.match(text, at)
    return note.end() if note is not None else at


def _simple(text: str) -> bool:
    """A number, or an atom with prefix and exponent: cm, m2, 10*-9."""
    if NUMBER.fullmatch(text) or _atom(text):
        return True
    exponent = EXPONENT.search(text)
    return exponent is not None and exponent.start() > 0 and _atom(text[: exponent.start()])


def _atom(text: str) -> bool:
    if text in METRIC or text in OTHER:
        return True
    return any(text.startswith(prefix) and text[len(prefix) :] in METRIC for prefix in PREFIXES)
