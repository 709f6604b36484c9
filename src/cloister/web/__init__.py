"""The application shell: pages and their words, the modules' screens, the account, the console, the files that browsers load.

pages = read_pages()                                        # before a session is hardened: reads every file once
application = workspace(pages, desk_of, fhir=fhir_endpoint)  # what a session serves
pages.render("login.html", language="fr")                   # what the door serves, without a session
"""

from cloister.web.allowed import AppsAllowed
from cloister.web.application import workspace
from cloister.web.assets import STATIC_FOLDER, static_names
from cloister.web.desk import Desk, wards_of
from cloister.web.drafts import Drafts
from cloister.web.headers import PAGE_HEADERS
from cloister.web.lost import CameBack
from cloister.web.pages import Pages, read_pages
from cloister.web.refusing import Refusals
from cloister.web.shadows import Shadows

__all__ = [
    "AppsAllowed",
    "CameBack",
    "Desk",
    "Drafts",
    "PAGE_HEADERS",
    "Pages",
    "Refusals",
    "STATIC_FOLDER",
    "Shadows",
    "read_pages",
    "static_names",
    "wards_of",
    "workspace",
]
