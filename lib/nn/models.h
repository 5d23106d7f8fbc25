/*
 * Networks by name, built as graphs (nn/graph.h):
 *
 *   lenet          linear layers with ReLU between them (LeCun et al. 1998, as Frankle & Carbin 2019 use it)
 *   conv2/4/6      small VGGs without batch norm (Frankle & Carbin 2019, appendix H)
 *   resnet         residual networks for small images, depth 6n+2 (He et al. 2015, section 4.2), projection shortcuts
 *   vgg            VGG with batch norm for small images (Simonyan & Zisserman 2015; Renda et al. 2020)
 *   mobilenet_v2   inverted residuals (Sandler et al. 2018)
 *   graph          any other, layer by layer (docs/experiment.md)
 */
#ifndef COP_NN_MODELS_H
#define COP_NN_MODELS_H

#include "nn/config.h"
#include "nn/graph.h"

/*
 * The network that `m` names, for images (channels, height, width), with one output for each class, into *g, which
 * starts as {0}; release it after success. COP_EINPUT: a key that this network does not know or a value that it cannot
 * have, images that are too small, layers too large.
 */
int cop_model_build(struct cop_graph *g, const struct cop_model_config *m, int channels, int height, int width,
		    int classes, struct cop_err *err) COP_CHECKED;

/*
 * Checks what can be checked without an image: keys that the network does not know must have their default, depths must
 * be ones that exist. Writes out what stands for the network's own (depth 0). COP_EINPUT.
 */
int cop_model_settle(struct cop_model_config *m, struct cop_err *err) COP_CHECKED;

/* "lenet", "conv2", ...: the word of a configuration's `name`. */
const char *cop_model_name(int name);

/* The images and classes that the network is mostly met with: {channels, height, width, classes}. */
const int *cop_model_usual(int name);

#endif
