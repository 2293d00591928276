"""GlyphScenes: a data set that needs no download. Classes are characters, images are scenes of several of them."""
