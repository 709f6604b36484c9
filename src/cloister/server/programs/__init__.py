"""Published programs: any Linux program beside a person's session, in a namespace of its own, as pixels. docs/applications.md.

The agent has the zygote fork a *keeper*, which makes the namespace, gives up root, and alone serves the person's encrypted folders; in
the namespace are Xvnc, a window manager and the program. The session gets one socket, over which it is handed the screen's.
"""

from cloister.server.programs.plan import Folders, ProgramKind, ProgramPlan, Rules, as_text, plan_from_wire, read_settings
from cloister.server.programs.programs import Programs, Wishes
from cloister.server.programs.running import Ended, ProgramState, Running

__all__ = [
    "Ended",
    "Folders",
    "ProgramKind",
    "ProgramPlan",
    "ProgramState",
    "Programs",
    "Rules",
    "Running",
    "Wishes",
    "as_text",
    "plan_from_wire",
    "read_settings",
]
