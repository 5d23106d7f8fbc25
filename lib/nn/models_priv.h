/* The builders behind models.c: each adds its layers up to the last, and leaves errors in the graph. */
#ifndef COP_NN_MODELS_PRIV_H
#define COP_NN_MODELS_PRIV_H

#include "nn/models.h"

void cop_build_lenet(struct cop_graph *g, const struct cop_model_config *m, int classes);
void cop_build_conv(struct cop_graph *g, const struct cop_model_config *m, int classes);
void cop_build_vgg(struct cop_graph *g, const struct cop_model_config *m, int classes);
void cop_build_resnet(struct cop_graph *g, const struct cop_model_config *m, int classes);
void cop_build_layers(struct cop_graph *g, const struct cop_model_config *m, int classes);
void cop_build_mobilenet_v2(struct cop_graph *g, const struct cop_model_config *m, int classes);

/* A convolution with a square window and no bias, padded so that stride 1 keeps the size, then batch norm: "NAMEconv"
   and "NAMEbn". `groups` 0: one. */
int cop_conv_bn(struct cop_graph *g, int x, const char *name, int out, int kernel, int stride, int groups);

/* `channels` times the multiplier, to the nearest whole number, at least 1. */
int cop_widen(int channels, double width);

#endif
