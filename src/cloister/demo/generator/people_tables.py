"""French names, streets and towns. Towns carry their postal code and INSEE commune code (docs/data-sources.md)."""

from __future__ import annotations

from typing import Final

FAMILIES: Final = tuple(
    """
    Abadie Allard Andrieu Aubert Auger Bailly Barbier Baron Barre Bazin Benoît Berger Bernard Berthelot Bertrand Besnard Blanc
    Bodin Boucher Bouvier Brun Brunet Carlier Carpentier Charles Charpentier Chauvin Clément Collet Cordier Coulon Courtois
    Cousin Daniel David Delaunay Delmas Denis Descamps Deschamps Diallo Dubois Dufour Dumas Dupuis Durand Ferrand Fleury
    Fournier François Gaillard Gautier Gérard Germain Gilbert Girard Giraud Gomez Guillot Guyot Hamon Hébert Henry Hubert Huet
    Humbert Jacquet Joly Jourdan Julien Klein Lacroix Laurent Lebreton Leclercq Lefèvre Léger Legrand Lelièvre Lemaire Lenoir
    Lopez Lucas Maillard Mallet Marchand Maréchal Marion Marty Masson Mercier Meunier Michaud Millet Monnier Moreau Moulin
    N'Guyen Navarro Nicolas Ollivier Paris Pasquier Pelletier Pereira Perret Petit Philippe Pichon Poirier Prévost Rémy Renault
    Rey Richard Rivière Robert Rodriguez Roger Rolland Rossi Rousseau Roux Royer Salmon Sanchez Schmitt Simon Traoré Vallée
    Verdier Vidal Vincent Weber Lê Yilmaz
    """.split()  # noqa: SIM905 (a word list reads better as words)
)
# Given names by generation: what people of that age are called (born before 1960, before 1990, later).
WOMEN: Final = (
    "Monique Jacqueline Françoise Nicole Christiane Marie-Thérèse Denise Paulette Simone Yvette Odette Colette Josiane Ginette".split(),  # noqa: SIM905
    "Nathalie Isabelle Sandrine Valérie Céline Stéphanie Aurélie Élodie Karine Delphine Laëtitia Fatima Corinne Émilie".split(),  # noqa: SIM905
    "Léa Manon Chloé Camille Emma Inès Sarah Lola Jade Océane Zoé Anaïs Margaux Aïcha Noémie Lucie".split(),  # noqa: SIM905
)
MEN: Final = (
    "Jean Pierre Michel André René Roger Bernard Jacques Marcel Claude Raymond Gérard Lucien Henri Jean-Pierre Guy".split(),  # noqa: SIM905
    "Philippe Laurent Christophe Stéphane Nicolas David Sébastien Frédéric Olivier Éric Pascal Ahmed Jérôme Benoît".split(),  # noqa: SIM905
    "Lucas Théo Hugo Enzo Nathan Maxime Louis Mathis Clément Axel Mehdi Quentin Antoine Gabriel Ibrahim Tom".split(),  # noqa: SIM905
)
STREETS: Final = (
    "rue des Lilas", "rue Victor-Hugo", "avenue Jean-Jaurès", "rue de la République", "place de l'Église", "chemin des Vignes",
    "rue du Moulin", "boulevard Pasteur", "rue des Tanneurs", "allée des Marronniers", "rue de la Fontaine", "impasse du Verger",
    "rue Marie-Curie", "quai des Mariniers", "rue du Général-Leclerc", "route de la Forêt", "rue des Écoles", "rue Lamartine",
)  # fmt: skip
# (town, postal code, INSEE code of the commune)
TOWNS: Final = (
    ("Angers", "49000", "49007"), ("Cholet", "49300", "49099"), ("Saumur", "49400", "49328"), ("Nantes", "44000", "44109"),
    ("Saint-Nazaire", "44600", "44184"), ("Tours", "37000", "37261"), ("Le Mans", "72000", "72181"), ("Laval", "53000", "53130"),
    ("Rennes", "35000", "35238"), ("Vannes", "56000", "56260"), ("Brest", "29200", "29019"), ("Poitiers", "86000", "86194"),
    ("La Roche-sur-Yon", "85000", "85191"), ("Blois", "41000", "41018"), ("Orléans", "45000", "45234"),
    ("Chartres", "28000", "28085"), ("Alençon", "61000", "61001"), ("Caen", "14000", "14118"), ("Limoges", "87000", "87085"),
    ("Bordeaux", "33000", "33063"), ("Toulouse", "31000", "31555"), ("Lille", "59000", "59350"), ("Dijon", "21000", "21231"),
    ("Clermont-Ferrand", "63000", "63113"), ("Amiens", "80000", "80021"), ("Reims", "51100", "51454"), ("Nancy", "54000", "54395"),
)  # fmt: skip
# Where people are looked after: the towns of the demo trust, most of the time.
NEAR: Final = TOWNS[:3]
RELATIONS: Final = (("N", "proche"), ("C", "personne à prévenir"))
