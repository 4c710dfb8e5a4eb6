"""Weights of the papers' authors to ours and back: one file per network, with a subclass of `OfficialLayout`."""

CONVERSIONS = {
    "dmmi": "refseg.conversion.dmmi:DMMILayout",
    "cmirnet": "refseg.conversion.cmirnet:CMIRNetLayout",
    "lavt": "refseg.conversion.lavt:LAVTLayout",
    "cris": "refseg.conversion.cris:CRISLayout",
    "cmpc": "refseg.conversion.cmpc:CMPCLayout",
}
