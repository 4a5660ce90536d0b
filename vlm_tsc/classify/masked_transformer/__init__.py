"""A transformer over patches of a series, pre-trained by masking or contrast, then fine-tuned.

The encoder is a Hugging Face BertModel that is given patches, projected to its width, as `inputs_embeds`: numbers never
pass as `input_ids`, which BERT takes for words.

How series of any length become patches: all cases of a set are resampled by one factor, which brings the longest
training case to a fixed number of points; a shorter case then has fewer patches, and what is padded is hidden from
attention. One factor, because stretching each case alone would change its frequencies against the others', and how long
a case is may belong to its class. A fixed number of points, because sets were sampled at rates that have nothing to do
with each other: a patch is then about the same share of a series in every set, which is what a pre-trained encoder can
go on using.

Zerveas et al. 2021 (masked values); Cheng et al.: TimeMAE, arXiv 2303.00320; Yeh et al.: TimeCLR in Toward a Foundation
Model for Time Series Data, arXiv 2310.03916; Devlin et al.: BERT, arXiv 1810.04805.
"""
