"""Words of the demo passphrases: French, short, without accents, easy to say over a telephone.

256 words of 3 to 9 letters: four of them and two figures are 38 bits before Argon2id. Enough for a demonstration
on one's own machine; people of a real trust choose their own.
"""

from __future__ import annotations

from typing import Final

WORDS: Final = tuple(
    """
    abeille abricot acajou acier agneau aigle ajonc album alcove algue alouate amande ambre ancre angle anis
    anneau aorte arbre arche ardoise argile armoire arome asile astre atelier aube aurore automne avion avril
    bagage baleine balise bambou banane banc barque barrage bassin bateau berger beurre biche bijou bison blason
    bocal boite bonnet botte bouche bougie boussole branche brebis brique brise brume bruyere buisson bulle cabane
    cactus cadran caillou camion canal canard canoe canon carafe carotte carte castor cave cedre cerise cerf
    chaise chalet chameau chandail chapeau charbon chat chemin chene cheval chevre cigale cigogne citron cloche clocher
    coffre colline colombe compas comptoir concert copain coq corail corbeau corde cornet coton coude couleur cour
    crabe craie crayon creme cristal crocus cuivre cygne dauphin desert dessin diamant digue domino dragon dune
    duvet ecluse ecole ecorce ecureuil ecume eglise elan encre enfant epaule epice epine erable escale etang
    etoile facade falaise farine faucon fauteuil fenetre ferme feuille ficelle figue flamme fleuve flocon flute foin
    foret forge fougere four fourmi fraise framboise fresque fromage fruit fumee fusain fusee galet galop gant
    garage gare gateau gazelle genet geyser girafe givre glace glycine golf grange granit grappe grenier grillon
    grotte grue guepe guitare hamac hameau haricot herbe herisson heron hetre hibou hiver horizon houle huile
    huitre iceberg ile iris ivoire jardin jasmin jasper jetee jonc jonque joueur jouet journal jument jupe
    kayak koala lagune laine lampe lanterne lapin larme laurier lavande levier lezard lichen lierre lilas limace
    linge lion livre loutre lucarne lune lutin luzerne lyre magasin maison marais marbre mare marron matin
    """.split()  # noqa: SIM905 (a word list reads better as words)
)[:256]
