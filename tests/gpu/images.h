/* Small images in two sizes, for tests that train on a GPU. */
#ifndef COP_TESTS_IMAGES_H
#define COP_TESTS_IMAGES_H

#include "compute/backend.h"
#include "nn/batches.h"

enum { SIDE = 16, SMALL = 8, CHANNELS = 3, CLASSES = 5, TRAINING = 183, TESTING = 99, VALIDATION = 7 };
extern struct cop_data images, small_images; /* of SIDE and of SMALL */

/* For a group's setup and teardown: the module (module.h), and the images in a folder of their own. */
extern enum cop_precision images_precision; /* the module's; fp32 */
int images_begin(void **state);
int images_end(void **state);

#endif
