/* The network of an experiment for `show`: each layer with shapes, parameters and multiply-accumulates. */
#ifndef COP_REPORT_SHOW_NETWORK_H
#define COP_REPORT_SHOW_NETWORK_H

#include "report/show.h"
#include "sweep/experiment.h"

/*
 * Adds facts and a table of layers. Images and classes are those given, else those of the experiment's dataset where it
 * can be read, else those that the network is mostly met with; the fact `images_from` says which. COP_EINPUT where the
 * network cannot be built for them.
 */
int cop_show_network(const struct cop_experiment *e, const struct cop_show_images *given, struct cop_sheet *s,
		     struct cop_err *err) COP_CHECKED;

#endif
