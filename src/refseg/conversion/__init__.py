"""Weights of the papers' authors to ours and back: one file per network, with a subclass of `OfficialLayout`."""

AUTO = "auto"
"""In place of a name of CONVERSIONS: the file tells."""

CONVERSIONS = {
    "dmmi": "refseg.conversion.dmmi:DMMILayout",
    "cmirnet": "refseg.conversion.cmirnet:CMIRNetLayout",
    "lavt": "refseg.conversion.lavt:LAVTLayout",
    "cris": "refseg.conversion.cris:CRISLayout",
    "cmpc": "refseg.conversion.cmpc:CMPCLayout",
}
