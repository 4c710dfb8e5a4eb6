"""Weights of the papers' authors: one file each; `official_file.py` reads files, `mapping.py` writes them.

A layout's file has four functions, written for the tensors of the entry that holds the network:

preset_of(shapes)        which preset a release is, by the shapes of its tensors; InvalidInput if none
official_names(network)  our key -> the release's key, or keys whose tensors stacked along axis 0 are ours (no key: ours
                         is 0), or a `Piece` of a release tensor; those of a BERT are known where WORDS says where it is
aliases(network)         release key -> the release key that holds the same tensor
unused(network)          release keys that never act, with a filling for the way back

and whatever else is not as in most releases, which descend from LAVT's:

settings(args)           of the network, that the script's settings tell and no shape does
release_shapes(network)  our key -> the shape of each of its release tensors, where they differ by axes of length 1
NETWORKS                 names of the networks that there are releases of; else the conversion's own
MODEL                    entry of the file that holds the network; else "model"
WORDS                    what the names of BERT's tensors start with, the entry in front; where there are several forms,
                         first that of the way back; () if official_names has those of the word encoder; else
                         ("bert_model.",)
WRAPPED                  do their scripts want "module." before every key?
read(path)               the `Release` in a file, where torch.save did not write it; write(path, tensors) is its inverse
vocabulary_size(shapes)  of a release, where the network's words come with it; else that of the tokenizer
tokenizer(config)        the tokenizer that goes with a network's config; else BERT's word pieces, `config.max_words`
preprocessing(side)      of the images; else `preprocessing.photographs`
CLIPS                    by preset, the `ClipSampling` of networks that take clips
IMAGE_SIZE               their side, where the file does not say it; else 480
IMAGES                   in words, for the card, with {side}
"""

from dataclasses import dataclass

CONVERSIONS = {
    "dmmi": "refseg.conversion.dmmi",
    "cmirnet": "refseg.conversion.cmirnet",
    "lavt": "refseg.conversion.lavt",
    "cris": "refseg.conversion.cris",
    "cmpc": "refseg.conversion.cmpc",
}


@dataclass(frozen=True)
class Piece:
    """A tensor of ours that is a part of one of a release, or that a release has transposed.

    Attributes:
        name: the release's key; each of its parts is the `Piece` of another key of ours.
        part: which of the parts, of one size, along axis 0.
        of: how many there are.
        transposed: does the release have the two axes of the tensor, or of all of its parts, the other way round?
    """

    name: str
    part: int = 0
    of: int = 1
    transposed: bool = False
