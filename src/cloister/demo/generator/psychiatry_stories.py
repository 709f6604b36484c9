"""Stories of the psychiatric hospital, with the legal status of care (Code de la santé publique, art. L3211-1 to L3213-1).

The texts are written for this demonstration; nobody in them exists.
"""

from __future__ import annotations

from typing import Final

from cloister.demo.generator.story import Story

LABS: Final = ("hb", "wbc", "plt", "na", "k", "crea", "glu", "alt", "tsh")
FREE: Final = "Soins psychiatriques libres (art. L3211-2). {who} consent aux soins ; livret d'accueil et règles de vie de l'unité remis."
THIRD_PARTY: Final = (
    (
        "Admission en soins psychiatriques à la demande d'un tiers (art. L3212-1). Demande rédigée par la famille, deux certificats "
        "médicaux concordants. Droits notifiés à {who}, qui les a compris."
    ),
    (
        "Certificat de 24 heures : examen somatique sans particularité, état mental imposant des soins immédiats assortis d'une "
        "surveillance constante ; {who} ne peut consentir."
    ),
    (
        "Certificat de 72 heures : persistance des troubles, adhésion fragile. Hospitalisation complète à maintenir ; saisine du juge "
        "des libertés et de la détention faite dans les délais."
    ),
)

DEPRESSION: Final = Story(
    diagnosis="F32.2",
    wards=("psychiatry",),
    ages=(19, 68),
    days=(9, 24),
    before=("F41.1", "E03.9", "F17.2"),
    drugs=("N06AX16", "N06AX11", "N05BA04", "N05CF01"),
    labs=LABS,
    ill={"tsh": (2.8, 5.6)},
    reason="Épisode dépressif sévère, idées suicidaires",
    admission=(
        "{who}, {age} ans, adressé(e) par son médecin traitant. Tristesse de l'humeur depuis deux mois, ralentissement, insomnie de fin "
        "de nuit, perte de 6 kg, idées suicidaires sans scénario arrêté. Pas d'élément délirant. Entretien avec le conjoint. Mise à "
        "distance des moyens, surveillance rapprochée, antidépresseur débuté."
    ),
    evolution=(
        (
            "Contact un peu meilleur, sommeil amélioré sous traitement. Idées suicidaires moins prégnantes, critiquées en fin "
            "d'entretien. Surveillance maintenue."
        ),
        "Participe à l'atelier du matin. Parle de son licenciement pour la première fois. Augmentation de la posologie, bien tolérée.",
        "Permission de quelques heures avec le conjoint, bien passée. Projette la reprise d'un rythme. Pas d'idée suicidaire ce jour.",
    ),
    nursing=(
        (
            "Est resté(e) au lit jusqu'à 10 h, accepte de venir déjeuner avec les autres. Propos pessimistes, pas d'idée suicidaire "
            "exprimée."
        ),
        "Nuit correcte, un réveil à 4 h. A demandé à parler, temps d'écoute de vingt minutes.",
    ),
    discharge=(
        "Épisode dépressif sévère, amélioration franche. Plan de sécurité élaboré et remis. Suivi au centre médico-psychologique dans "
        "les sept jours."
    ),
    legal=(FREE,),
)
SCHIZOPHRENIA: Final = Story(
    diagnosis="F20.0",
    wards=("psychiatry",),
    ages=(19, 55),
    days=(12, 28),
    before=("F17.2", "E66.9"),
    drugs=("N05AX08", "N05AH01", "N05AA06", "N05BA06"),
    labs=(*LABS, "a1c"),
    signs={"pulse": 98},
    reason="Décompensation délirante",
    admission=(
        "{who}, {age} ans, rupture de traitement depuis trois mois. Repli au domicile, fenêtres occultées, conviction d'être "
        "surveillé(e) par ses voisins, hallucinations acoustico-verbales insultantes. Réticence, participation affective forte, pas de "
        "conscience du trouble. Reprise de la rispéridone, chambre calme."
    ),
    evolution=(
        "Délire de persécution toujours actif, moins envahissant. Accepte le traitement sans opposition. Voix moins fréquentes.",
        "Commence à critiquer une partie des idées. Sorties dans le parc accompagnées. Traitement à action prolongée discuté.",
        "Contact de bonne qualité, voix absentes depuis quatre jours. Première rencontre avec l'équipe mobile.",
    ),
    nursing=(
        "Méfiant(e) envers le plateau-repas, a mangé après avoir choisi. Soliloque par moments dans le couloir.",
        "A joué aux cartes avec deux patients. Prise du traitement vérifiée.",
    ),
    discharge=(
        "Décompensation d'une schizophrénie paranoïde sur arrêt de traitement. Traitement à action prolongée débuté, programme de "
        "soins, suivi mensuel."
    ),
    legal=THIRD_PARTY,
)
MANIA: Final = Story(
    diagnosis="F31.2",
    wards=("psychiatry",),
    ages=(22, 64),
    days=(10, 22),
    before=("E03.9", "F10.2"),
    drugs=("N05AN01", "N05AH03", "N05BA06"),
    labs=(*LABS, "li"),
    ill={"li": (0.05, 0.3)},
    signs={"pulse": 104, "systolic": 142},
    reason="Accès maniaque",
    admission=(
        "{who}, {age} ans, conduit(e) par ses proches : trois nuits sans sommeil, dépenses inhabituelles, projets grandioses, "
        "familiarité, logorrhée. Idées de mission divine. Lithium arrêté il y a deux mois. Reprise du lithium et olanzapine, limitation "
        "des stimulations, mesure de protection des biens évoquée."
    ),
    evolution=(
        "Encore accéléré(e), mais dort cinq heures. Lithiémie en cours d'ajustement.",
        "Humeur plus stable, critique les dépenses avec inquiétude. Assistante sociale rencontrée.",
        "Euthymie en vue, sommeil de sept heures. Lithiémie dans la cible.",
    ),
    nursing=(
        "A réveillé deux patients à 3 h, recadré(e) avec calme, apaisement dans le salon.",
        "Range sa chambre seul(e), demande quand rappeler son employeur.",
    ),
    discharge=(
        "Accès maniaque avec symptômes psychotiques sur arrêt du lithium. Lithiémie et créatinine à contrôler à dix jours. "
        "Psychoéducation familiale programmée."
    ),
    legal=THIRD_PARTY,
)
WITHDRAWAL: Final = Story(
    diagnosis="F10.2",
    wards=("psychiatry",),
    ages=(30, 66),
    days=(7, 12),
    before=("F17.2", "I10", "F41.1"),
    drugs=("A11DA01", "N05BA04"),
    labs=LABS,
    ill={"alt": (62, 180), "plt": (98, 160), "k": (3.1, 3.6)},
    signs={"pulse": 108, "systolic": 158},
    reason="Sevrage programmé en alcool",
    admission=(
        "{who}, {age} ans, demande de sevrage après le retrait de son permis. Consommation quotidienne depuis huit ans. Pas "
        "d'antécédent de crise convulsive. Tremblement, sueurs. Oxazépam dégressif, thiamine, hydratation, score de sevrage toutes les "
        "six heures."
    ),
    evolution=(
        "Score de sevrage en baisse, plus de tremblement. Sommeil encore difficile.",
        "Groupe de parole : intervient spontanément. Projet de postcure discuté avec l'addictologue.",
    ),
    nursing=("Sueurs en début de nuit, score à 8, dose supplémentaire donnée selon le protocole.",),
    discharge="Sevrage simple. Entrée en postcure à la date convenue, consultation d'addictologie hebdomadaire d'ici là.",
    legal=(FREE,),
)
CRISIS: Final = Story(
    diagnosis="F60.3",
    wards=("psychiatry",),
    ages=(18, 42),
    days=(4, 10),
    before=("F41.1", "F17.2"),
    drugs=("N05AA06", "N06AB06"),
    labs=("hb", "wbc", "plt", "na", "k", "crea", "glu"),
    reason="Crise suicidaire après rupture",
    admission=(
        "{who}, {age} ans, ingestion médicamenteuse volontaire de faible gravité somatique après une rupture. Angoisse, sentiment de "
        "vide, scarifications anciennes. Regrette le geste ce jour. Séjour de crise court, contrat de soins, référent(e) désigné(e)."
    ),
    evolution=(
        "Tension interne moindre. A utilisé la carte de crise au lieu de se faire mal.",
        "Entretien avec la mère, échange apaisé. Retour au domicile préparé.",
    ),
    nursing=("Angoisse en fin de journée, a demandé le salon d'apaisement et y est resté(e) trente minutes.",),
    discharge="Crise suicidaire résolue. Dispositif de rappel à dix jours, thérapie de groupe à partir du mois prochain.",
    legal=(FREE,),
)
ALZHEIMER: Final = Story(
    diagnosis="F00.1",
    wards=("geriatric-psychiatry",),
    ages=(72, 94),
    days=(12, 26),
    before=("I10", "M81.9", "H40.1", "E11.9"),
    drugs=("N06DA02", "N05AX08", "N05BA04"),
    labs=(*LABS, "urea"),
    ill={"urea": (8.0, 12.5), "crea": (90, 128)},
    reason="Troubles du comportement, maladie d'Alzheimer",
    admission=(
        "{who}, {age} ans, troubles de la mémoire suivis depuis quatre ans. Agitation de fin de journée, opposition aux soins, "
        "déambulation nocturne, épuisement du conjoint. MMS à 14/30. Recherche d'une cause somatique : constipation et douleur de genou "
        "traitées. Approche non médicamenteuse d'abord."
    ),
    evolution=(
        "Agitation moindre depuis l'antalgie. Participe à l'atelier musique. Rispéridone à dose minimale, réévaluation dans une semaine.",
        "Dort mieux, circule calmement. Le conjoint a rencontré la plateforme de répit.",
        "Diminution puis arrêt du neuroleptique bien tolérés.",
    ),
    nursing=(
        "Toilette acceptée avec la soignante référente, en musique. Refuse le soir.",
        "A cherché la sortie vers 18 h, apaisé(e) par une promenade dans le jardin clos.",
    ),
    discharge=(
        "Troubles du comportement améliorés après traitement de causes somatiques. Retour au domicile avec équipe spécialisée et "
        "accueil de jour."
    ),
    legal=(FREE,),
)
DELIRIUM: Final = Story(
    diagnosis="F05.1",
    wards=("geriatric-psychiatry",),
    ages=(75, 95),
    days=(7, 16),
    before=("F00.1", "I10", "I48.9", "N18.3"),
    drugs=("N05AX08", "N02BE01", "A11CC05"),
    labs=(*LABS, "crp", "urea"),
    ill={"crp": (30, 110), "na": (127, 135), "urea": (9.0, 16.0)},
    signs={"pulse": 96, "temperature": 38.0},
    reason="Confusion aiguë",
    admission=(
        "{who}, {age} ans, confusion d'installation rapide en deux jours, inversion du rythme veille-sommeil, hallucinations visuelles "
        "d'animaux. Globe urinaire et infection urinaire retrouvés. Sondage, antibiotique, réorientation, lunettes et appareils "
        "auditifs remis en place."
    ),
    evolution=(
        "Moins confus(e) le matin, fluctuations le soir. Ionogramme en voie de correction.",
        "Orienté(e) dans le temps et l'espace. Ne garde pas de souvenir de l'épisode.",
    ),
    nursing=("Voit des chats sous le lit à 22 h, rassuré(e), lumière douce laissée. S'endort à 1 h.",),
    discharge="Syndrome confusionnel sur démence, causes urinaire et métabolique corrigées. Prévention expliquée à l'entourage.",
    legal=(FREE,),
)
LATE_DEPRESSION: Final = Story(
    diagnosis="F32.3",
    wards=("geriatric-psychiatry",),
    ages=(66, 90),
    days=(14, 30),
    before=("I10", "E03.9", "I25.9"),
    drugs=("N06AX11", "N05AH03", "N05BA06"),
    labs=LABS,
    ill={"na": (130, 136)},
    reason="Dépression mélancolique",
    admission=(
        "{who}, {age} ans, mélancolie avec idées de ruine et d'incurabilité, refus alimentaire depuis dix jours, mutisme partiel. "
        "Risque suicidaire élevé. Réhydratation, bilan préthérapeutique en vue d'une électroconvulsivothérapie discutée avec la "
        "famille."
    ),
    evolution=(
        "Troisième séance : s'alimente seul(e), répond aux questions. Idées de ruine encore présentes.",
        "Sixième séance : sourit, demande des nouvelles de ses petits-enfants. Troubles mnésiques légers, expliqués.",
    ),
    nursing=("Repas enrichi pris à moitié, accompagné(e). Pesée : stable.",),
    discharge=(
        "Épisode mélancolique, rémission après électroconvulsivothérapie. Traitement d'entretien et suivi gérontopsychiatrique à quinze "
        "jours."
    ),
    legal=THIRD_PARTY,
)
STORIES: Final = (DEPRESSION, SCHIZOPHRENIA, MANIA, WITHDRAWAL, CRISIS, ALZHEIMER, DELIRIUM, LATE_DEPRESSION)
