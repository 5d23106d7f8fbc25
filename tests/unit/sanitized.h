/* What is left out where a sanitizer, which is slow, makes a test of many cases take minutes. */
#ifndef COP_TESTS_SANITIZED_H
#define COP_TESTS_SANITIZED_H

#include <stdint.h>

/* How far apart the cases are that are tested: n under a sanitizer, where they differ in their numbers more than in the
   memory that they touch; else 1. */
uint32_t every(uint32_t n);

#endif
