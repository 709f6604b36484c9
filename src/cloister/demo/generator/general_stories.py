"""Stories of the general hospital. The texts are written for this demonstration; nobody in them exists."""

from __future__ import annotations

from typing import Final

from cloister.demo.generator.story import Story

COMMON_LABS: Final = ("hb", "wbc", "plt", "crp", "na", "k", "crea", "urea", "glu")

HEART_FAILURE: Final = Story(
    diagnosis="I50.1",
    wards=("cardiology",),
    ages=(62, 93),
    days=(5, 11),
    before=("I10", "I48.9", "I25.9", "E11.9", "N18.3"),
    drugs=("C03CA01", "C07AB07", "C09AA05", "C03DA01", "B01AB05"),
    labs=(*COMMON_LABS, "bnp", "tnt"),
    ill={"bnp": (2800, 9800), "crea": (110, 170), "na": (129, 136), "tnt": (16, 40)},
    signs={"pulse": 104, "breaths": 26, "saturation": 90, "systolic": 148},
    reason="Décompensation cardiaque gauche",
    admission=(
        "{who}, {age} ans, adressé(e) pour dyspnée d'effort puis de repos évoluant depuis cinq jours, orthopnée à trois oreillers et "
        "prise de 4 kg. À l'examen : crépitants des deux bases, œdèmes des membres inférieurs jusqu'aux genoux, turgescence jugulaire. "
        "ECG sans trouble de repolarisation récent. Radiographie : redistribution vasculaire et épanchements de faible abondance. "
        "Furosémide intraveineux, restriction hydrosodée, échographie cardiaque demandée."
    ),
    evolution=(
        (
            "Diurèse satisfaisante, perte de 1,2 kg depuis hier. Crépitants limités aux bases, saturation correcte à l'air ambiant. "
            "Relais oral du furosémide demain si la fonction rénale est stable."
        ),
        (
            "FEVG estimée à 35 % à l'échographie, insuffisance mitrale modérée. Introduction prudente de la spironolactone, ionogramme "
            "de contrôle dans 48 heures. Patient(e) informé(e) du régime pauvre en sel."
        ),
        (
            "Marche dans le couloir sans dyspnée. Œdèmes en nette régression. Éducation thérapeutique commencée avec l'infirmière "
            "d'insuffisance cardiaque : poids quotidien, signes d'alerte."
        ),
    ),
    nursing=(
        "Pesé(e) ce matin à jeun. Bas de contention posés. A bien dormi, deux oreillers.",
        "Restriction hydrique comprise, feuille de boissons tenue avec l'aide de la famille.",
    ),
    discharge=(
        "Hospitalisation pour décompensation cardiaque gauche sur écart de régime, d'évolution favorable sous diurétiques. Sortie à "
        "domicile avec passage infirmier pour surveillance du poids. Ionogramme dans une semaine, consultation de cardiologie dans un "
        "mois."
    ),
)
INFARCTION: Final = Story(
    diagnosis="I21.4",
    wards=("cardiology",),
    ages=(44, 86),
    days=(4, 7),
    before=("I10", "E78.5", "F17.2", "E11.9"),
    drugs=("B01AC06", "B01AC04", "C07AB07", "C10AA05", "C09AA05", "B01AB05"),
    labs=(*COMMON_LABS, "tnt", "ldl", "a1c"),
    ill={"tnt": (240, 1900), "ldl": (3.6, 5.4), "glu": (6.4, 9.8)},
    signs={"pulse": 92, "systolic": 152},
    pain=6,
    reason="Douleur thoracique, syndrome coronarien aigu",
    admission=(
        "{who}, {age} ans, douleur thoracique constrictive apparue au repos il y a trois heures, irradiant dans le bras gauche. ECG : "
        "sous-décalage de ST en V4-V6. Troponine positive en cinétique. Coronarographie programmée dans les 24 heures, double "
        "antiagrégation et anticoagulation débutées, scope."
    ),
    evolution=(
        (
            "Coronarographie par voie radiale droite : sténose serrée de l'interventriculaire antérieure moyenne, traitée par un stent "
            "actif. Suites simples, pas d'hématome au point de ponction."
        ),
        "Pas de récidive douloureuse. Échographie : hypokinésie apicale limitée, FEVG 52 %. Bêtabloquant bien toléré.",
        "Rencontre avec la diététicienne et l'aide au sevrage tabagique. Réadaptation cardiaque demandée.",
    ),
    nursing=(
        "Pas de douleur au scope cette nuit, rythme sinusal. Point de ponction radial propre et souple.",
        "Premier lever bien toléré, tension stable debout.",
    ),
    discharge=(
        "Syndrome coronarien aigu sans sus-décalage de ST, angioplastie de l'interventriculaire antérieure. Double antiagrégation pour "
        "douze mois, statine à forte dose. Réadaptation en ambulatoire, consultation à six semaines."
    ),
)
ATRIAL_FIBRILLATION: Final = Story(
    diagnosis="I48.9",
    wards=("cardiology", "emergency"),
    ages=(55, 88),
    days=(2, 4),
    before=("I10", "E66.9", "E03.9"),
    drugs=("B01AF02", "C07AB07"),
    labs=(*COMMON_LABS, "tsh", "inr"),
    ill={"tsh": (0.1, 0.5), "k": (3.1, 3.6)},
    signs={"pulse": 134, "systolic": 118},
    reason="Palpitations, fibrillation auriculaire rapide",
    admission=(
        "{who}, {age} ans, palpitations depuis la veille au soir, sans syncope ni douleur thoracique. ECG : fibrillation auriculaire à "
        "134/min. Pas de signe d'insuffisance cardiaque. Ralentissement par bêtabloquant, anticoagulation, bilan thyroïdien."
    ),
    evolution=(
        "Retour en rythme sinusal dans la nuit sous bêtabloquant. Anticoagulation poursuivie, score CHA2DS2-VASc à 3.",
        "Kaliémie corrigée. Échographie : oreillette gauche modérément dilatée. Holter demandé à distance.",
    ),
    nursing=("Pouls régulier à 74 ce matin. Se dit soulagé(e).",),
    discharge=(
        "Premier épisode de fibrillation auriculaire, réduction spontanée. Anticoagulation au long cours, Holter et consultation dans "
        "six semaines."
    ),
)
PNEUMONIA: Final = Story(
    diagnosis="J18.9",
    wards=("internal-medicine", "emergency"),
    ages=(28, 92),
    days=(4, 9),
    before=("J44.9", "I10", "E11.9", "F17.2"),
    drugs=("J01DD04", "J01CR02", "N02BE01", "B01AB05"),
    labs=(*COMMON_LABS, "alt"),
    ill={"crp": (120, 310), "wbc": (12.5, 21.0), "na": (131, 137)},
    signs={"pulse": 108, "breaths": 27, "saturation": 89, "temperature": 39.2},
    pain=3,
    reason="Pneumopathie franche lobaire",
    admission=(
        "{who}, {age} ans, fièvre à 39,2 °C, frissons, toux productive et douleur basithoracique droite depuis trois jours. Foyer de "
        "crépitants à droite, polypnée. Radiographie : opacité lobaire inférieure droite. Hémocultures prélevées, antigénurie "
        "légionelle négative. Ceftriaxone, oxygène 2 L/min aux lunettes."
    ),
    evolution=(
        "Apyrexie depuis 24 heures, besoin d'oxygène à 1 L/min. CRP en décroissance. Relais oral par amoxicilline-acide clavulanique.",
        "Sevré(e) de l'oxygène. Auscultation encore crépitante à droite. Kinésithérapie respiratoire efficace.",
        "Hémocultures stériles à cinq jours. Reprise de l'alimentation, lever au fauteuil.",
    ),
    nursing=(
        "Sueurs nocturnes, linge changé deux fois. Boit bien quand on l'y invite.",
        "Lunettes à oxygène retirées à 14 h, saturation stable à 95 %.",
    ),
    discharge=(
        "Pneumopathie lobaire inférieure droite communautaire, évolution favorable sous antibiotiques, sept jours au total. "
        "Radiographie de contrôle à six semaines."
    ),
)
COPD: Final = Story(
    diagnosis="J44.1",
    wards=("internal-medicine", "emergency"),
    ages=(54, 84),
    days=(4, 8),
    before=("J44.9", "F17.2", "I10", "M81.9"),
    drugs=("R03AC02", "R03BB04", "H02AB06", "J01CR02", "B01AB05"),
    labs=COMMON_LABS,
    ill={"crp": (25, 90), "wbc": (10.2, 14.5), "glu": (6.5, 10.5)},
    signs={"pulse": 102, "breaths": 28, "saturation": 87, "temperature": 37.8},
    reason="Exacerbation de bronchopneumopathie chronique obstructive",
    admission=(
        "{who}, {age} ans, suivi(e) pour BPCO post-tabagique, majoration de la dyspnée et crachats purulents depuis quatre jours. "
        "Sibilants diffus, tirage modéré. Gaz du sang : hypoxémie sans acidose. Aérosols de bronchodilatateurs, corticothérapie courte, "
        "objectif de saturation 88-92 %."
    ),
    evolution=(
        (
            "Moins de sibilants, crachats plus clairs. Objectif de saturation tenu avec 1 L/min. Glycémies capillaires surveillées sous "
            "corticoïdes."
        ),
        (
            "Technique d'inhalation revue avec la kinésithérapeute, chambre d'inhalation prescrite. Sevrage tabagique abordé, "
            "motivation réelle."
        ),
    ),
    nursing=("Dort demi-assis. Aérosols bien supportés, pouls à surveiller après salbutamol.",),
    discharge=(
        "Exacerbation de BPCO d'origine bronchique infectieuse. Corticoïdes arrêtés après cinq jours. Réhabilitation respiratoire proposée."
    ),
)
PYELONEPHRITIS: Final = Story(
    diagnosis="N10",
    wards=("internal-medicine", "emergency"),
    ages=(19, 79),
    sex="female",
    days=(2, 5),
    before=("E11.9", "N18.3"),
    drugs=("J01DD04", "N02BE01"),
    labs=COMMON_LABS,
    ill={"crp": (80, 240), "wbc": (11.5, 18.0), "crea": (88, 135)},
    signs={"pulse": 106, "temperature": 39.4, "systolic": 108},
    pain=5,
    reason="Pyélonéphrite aiguë",
    admission=(
        "{who}, {age} ans, fièvre à 39,4 °C, frissons et douleur lombaire gauche précédés de brûlures mictionnelles. Ébranlement "
        "lombaire gauche douloureux. Bandelette : leucocytes et nitrites. Échographie sans dilatation des cavités. ECBU et hémocultures "
        "prélevés, ceftriaxone."
    ),
    evolution=(
        "Apyrétique ce matin. ECBU : Escherichia coli sensible. Relais oral possible demain.",
        "Douleur lombaire disparue, diurèse conservée, créatinine revenue à sa valeur habituelle.",
    ),
    nursing=("Boissons abondantes encouragées, 2,1 L sur 24 heures.",),
    discharge=(
        "Pyélonéphrite aiguë gauche non compliquée à Escherichia coli. Antibiothérapie de sept jours au total, pas de contrôle "
        "systématique."
    ),
)
CELLULITIS: Final = Story(
    diagnosis="L03.1",
    wards=("internal-medicine",),
    ages=(35, 88),
    days=(4, 8),
    before=("E66.9", "E11.9", "I10"),
    drugs=("J01CR02", "N02BE01", "B01AB05"),
    labs=(*COMMON_LABS, "a1c"),
    ill={"crp": (70, 190), "wbc": (11.0, 17.0), "a1c": (6.8, 9.4), "glu": (7.5, 13.0)},
    signs={"temperature": 38.7, "pulse": 98},
    pain=4,
    reason="Dermohypodermite de jambe",
    admission=(
        "{who}, {age} ans, placard inflammatoire chaud et douloureux de la jambe droite, porte d'entrée interdigitale, fièvre à 38,7 "
        "°C. Pas de nécrose ni de crépitation. Limites tracées au feutre. Amoxicilline-acide clavulanique, repos jambe surélevée."
    ),
    evolution=(
        "Placard en recul de 3 cm par rapport au tracé. Apyrexie. Diabète déséquilibré, adaptation du traitement.",
        "Œdème en régression, reprise de la marche. Soins de l'intertrigo par la podologue.",
    ),
    nursing=("Jambe surélevée, tracé refait au feutre. Glycémies reportées sur la feuille.",),
    discharge=(
        "Dermohypodermite non compliquée de la jambe droite. Antibiothérapie sept jours, contention après guérison, équilibre du "
        "diabète à suivre."
    ),
)
APPENDICITIS: Final = Story(
    diagnosis="K35.8",
    wards=("surgery",),
    ages=(16, 48),
    days=(2, 3),
    before=("J45.9",),
    drugs=("J01CR02", "N02BE01", "M01AE03", "N02AX02"),
    labs=("hb", "wbc", "plt", "crp", "na", "k", "crea"),
    ill={"crp": (35, 130), "wbc": (12.0, 18.5)},
    signs={"temperature": 38.3, "pulse": 96},
    pain=7,
    reason="Appendicite aiguë",
    admission=(
        "{who}, {age} ans, douleur péri-ombilicale migrant en fosse iliaque droite en 24 heures, nausées, fièvre à 38,3 °C. Défense en "
        "fosse iliaque droite. Échographie : appendice à 11 mm, non compressible. Indication opératoire posée, consentement recueilli."
    ),
    evolution=("Suites simples, reprise du transit gazeux, abdomen souple, cicatrices propres.",),
    nursing=("Douleur à 3/10 après paracétamol. Premier lever le soir même.",),
    discharge="Appendicectomie par cœlioscopie pour appendicite aiguë non compliquée. Reprise d'une activité normale en deux semaines.",
    operation=(
        "Appendicectomie par cœlioscopie",
        (
            "Installation en décubitus dorsal, trois trocarts. Appendice phlegmoneux, base saine. Ligature du méso puis de la base, "
            "section, extraction dans un sac. Lavage, pas de drain. Durée 38 minutes, pertes négligeables."
        ),
    ),
)
CHOLECYSTITIS: Final = Story(
    diagnosis="K80.0",
    wards=("surgery",),
    ages=(34, 82),
    days=(3, 6),
    before=("E66.9", "I10", "E78.5"),
    drugs=("J01CR02", "N02BE01", "B01AB05", "N02AX02"),
    labs=(*COMMON_LABS, "alt", "bili"),
    ill={"crp": (60, 220), "wbc": (11.5, 17.5), "alt": (50, 140), "bili": (18, 46)},
    signs={"temperature": 38.5, "pulse": 98},
    pain=6,
    reason="Cholécystite aiguë lithiasique",
    admission=(
        "{who}, {age} ans, douleur de l'hypochondre droit fébrile depuis 36 heures, signe de Murphy. Échographie : vésicule à paroi "
        "épaissie de 6 mm, calcul enclavé au collet, voie biliaire principale fine. Antibiothérapie, cholécystectomie au prochain "
        "programme."
    ),
    evolution=(
        "Suites opératoires simples, bilan hépatique en voie de normalisation. Alimentation légère reprise.",
        "Abdomen souple, transit repris. Examen anatomopathologique en attente.",
    ),
    nursing=("Pansements secs. Supporte le repas léger. Marche dans le couloir.",),
    discharge="Cholécystectomie cœlioscopique pour cholécystite aiguë lithiasique. Ablation des fils à dix jours, consultation à un mois.",
    operation=(
        "Cholécystectomie par cœlioscopie",
        (
            "Vésicule tendue, ponctionnée. Dissection du triangle de Calot, vue critique obtenue. Clips sur le canal et l'artère "
            "cystiques. Cholécystectomie rétrograde sans brèche. Hémostase du lit. Durée 65 minutes."
        ),
    ),
)
HIP_FRACTURE: Final = Story(
    diagnosis="S72.0",
    wards=("surgery",),
    ages=(70, 96),
    days=(6, 12),
    before=("M81.9", "I10", "I48.9", "H40.1", "N18.3"),
    drugs=("N02BE01", "N02AA01", "B01AB05", "A11CC05", "A02BC02"),
    labs=(*COMMON_LABS, "inr"),
    ill={"hb": (8.6, 11.4), "crp": (15, 95), "crea": (85, 140)},
    signs={"pulse": 94, "systolic": 138},
    pain=7,
    reason="Fracture du col fémoral après chute",
    admission=(
        "{who}, {age} ans, chute de sa hauteur au domicile, impotence fonctionnelle du membre inférieur gauche, raccourci et en "
        "rotation externe. Radiographie : fracture cervicale vraie déplacée. Bloc iliofascial, avis d'anesthésie, arthroplastie prévue "
        "dans les 24 heures."
    ),
    evolution=(
        "J2 : hémoglobine à contrôler, pas de signe d'infection. Premier lever avec le kinésithérapeute, appui autorisé.",
        "Un épisode de confusion nocturne, régressif après antalgie et réorientation. Marche avec cadre sur dix mètres.",
        "Cicatrice propre. Demande de soins de suite acceptée.",
    ),
    nursing=(
        "Douleur à la mobilisation, antalgique donné avant la toilette. Talons surveillés, pas de rougeur.",
        "Désorienté(e) cette nuit, veilleuse laissée, famille prévenue. Calme au matin.",
    ),
    discharge=(
        "Fracture du col fémoral gauche traitée par prothèse. Transfert en soins de suite et de réadaptation. Traitement de "
        "l'ostéoporose à poursuivre."
    ),
    operation=(
        "Arthroplastie de hanche par prothèse intermédiaire",
        (
            "Voie postéro-latérale. Extraction de la tête, alésage, tige cimentée, cupule mobile. Réduction stable, longueur "
            "symétrique. Fermeture plan par plan."
        ),
    ),
)
HERNIA: Final = Story(
    diagnosis="K40.9",
    wards=("surgery",),
    ages=(30, 80),
    sex="male",
    days=(1, 2),
    before=("I10", "K21.9"),
    drugs=("N02BE01", "M01AE03"),
    labs=("hb", "plt", "inr", "crea"),
    pain=3,
    reason="Hernie inguinale, chirurgie programmée",
    admission=(
        "{who}, {age} ans, hernie inguinale droite réductible, gênante à l'effort. Pas d'antécédent chirurgical notable. Intervention "
        "programmée, information donnée sur le risque de douleur chronique."
    ),
    evolution=("Suites simples, pas d'hématome. Miction reprise. Sortie possible.",),
    nursing=("Pansement sec. Conseils de sortie remis et compris.",),
    discharge="Cure de hernie inguinale droite avec plaque. Pas de port de charge pendant un mois.",
    operation=(
        "Cure de hernie inguinale par plaque",
        "Voie d'abord inguinale. Sac indirect disséqué et refoulé. Plaque fixée sans tension. Nerfs repérés et respectés.",
    ),
)
RENAL_COLIC: Final = Story(
    diagnosis="N20.1",
    wards=("emergency",),
    ages=(24, 66),
    days=(1, 2),
    before=("E66.9",),
    drugs=("M01AE03", "N02BE01", "N02AA01"),
    labs=("hb", "wbc", "crp", "na", "k", "crea"),
    ill={"crea": (92, 128), "wbc": (9.0, 12.5)},
    signs={"pulse": 96, "systolic": 146},
    pain=8,
    reason="Colique néphrétique",
    admission=(
        "{who}, {age} ans, douleur lombaire droite brutale, irradiant vers l'aine, agitation, vomissements. Apyrétique. Scanner : "
        "calcul urétéral distal de 4 mm, dilatation modérée. Kétoprofène puis morphine titrée, tamisage des urines."
    ),
    evolution=("Soulagé(e), pas de fièvre. Expulsion probable d'un calcul ce matin, envoyé pour analyse.",),
    nursing=("Douleur passée de 8 à 2 en une heure. Urines tamisées.",),
    discharge=(
        "Colique néphrétique simple sur calcul urétéral distal. Consultation d'urologie à quatre semaines, consignes de retour remises."
    ),
)
ANKLE: Final = Story(
    diagnosis="S93.4",
    wards=("emergency",),
    ages=(16, 60),
    days=(1, 1),
    before=(),
    drugs=("N02BE01",),
    labs=(),
    pain=5,
    reason="Traumatisme de la cheville",
    admission=(
        "{who}, {age} ans, torsion de la cheville gauche en inversion pendant un match. Œdème prémalléolaire, palpation osseuse "
        "indolore, appui possible : critères d'Ottawa négatifs. Pas de radiographie. Attelle, glace, antalgiques."
    ),
    evolution=("Réévaluation à distance du glaçage : douleur à 2/10, marche avec attelle.",),
    nursing=("Attelle posée, démonstration faite.",),
    discharge="Entorse bénigne du ligament latéral. Kinésithérapie, reprise du sport dans trois à six semaines.",
)
CONCUSSION: Final = Story(
    diagnosis="S06.0",
    wards=("emergency",),
    ages=(17, 90),
    days=(1, 2),
    before=("I48.9", "I10"),
    drugs=("N02BE01",),
    labs=("hb", "plt", "inr", "na", "glu"),
    signs={"systolic": 142},
    pain=4,
    reason="Traumatisme crânien avec perte de connaissance brève",
    admission=(
        "{who}, {age} ans, chute avec choc occipital, perte de connaissance d'environ une minute, amnésie des faits. Glasgow 15, pas de "
        "déficit. Scanner cérébral sans lésion hémorragique. Surveillance neurologique toutes les deux heures."
    ),
    evolution=("Surveillance de 24 heures sans anomalie. Céphalées modérées. Sortie accompagnée.",),
    nursing=("Pupilles symétriques et réactives toute la nuit. Réveillé(e) sans difficulté.",),
    discharge="Commotion cérébrale sans lésion au scanner. Consignes de surveillance données à l'entourage.",
)
GASTROENTERITIS: Final = Story(
    diagnosis="A09.9",
    wards=("emergency", "internal-medicine"),
    ages=(18, 86),
    days=(1, 3),
    before=("I10", "K21.9"),
    drugs=("N02BE01",),
    labs=("hb", "wbc", "crp", "na", "k", "crea", "urea"),
    ill={"k": (2.9, 3.5), "crea": (95, 160), "urea": (8.5, 14.0), "crp": (10, 55)},
    signs={"pulse": 108, "systolic": 98, "temperature": 38.1},
    pain=4,
    reason="Gastroentérite avec déshydratation",
    admission=(
        "{who}, {age} ans, diarrhée aqueuse et vomissements depuis deux jours, plusieurs cas dans l'entourage. Pli cutané, langue "
        "sèche, abdomen souple. Réhydratation intraveineuse, correction du potassium."
    ),
    evolution=("Vomissements taris, boit et garde. Ionogramme corrigé.",),
    nursing=("Deux selles liquides cette nuit. Précautions de contact en place.",),
    discharge="Gastroentérite aiguë probablement virale, déshydratation corrigée. Régime puis reprise progressive.",
)
STORIES: Final = (
    HEART_FAILURE, INFARCTION, ATRIAL_FIBRILLATION, PNEUMONIA, COPD, PYELONEPHRITIS, CELLULITIS, APPENDICITIS, CHOLECYSTITIS,
    HIP_FRACTURE, HERNIA, RENAL_COLIC, ANKLE, CONCUSSION, GASTROENTERITIS,
)  # fmt: skip
