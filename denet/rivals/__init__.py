"""The methods that the paper's Tables I, II and IV compare DENet with, each from its own paper.

`rival` is what they have in common, `catalog` names them, `training` trains any of them on the
data, augmentation and number of steps of DENet's recipe.
"""
