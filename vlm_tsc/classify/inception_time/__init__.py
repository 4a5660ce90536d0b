"""InceptionTime: an ensemble of convolutional networks, its members trained together.

Ismail Fawaz et al.: InceptionTime: Finding AlexNet for Time Series Classification, Data Mining and Knowledge Discovery
34 (2020), doi 10.1007/s10618-020-00710-y. Where the paper leaves something open, the authors' code decides.
"""
