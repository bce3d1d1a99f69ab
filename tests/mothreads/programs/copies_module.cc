// A module that copies_program loads.

#include "mothreads/signal.h"

extern "C" bool may_stop();
extern "C" bool may_stop() {
  const mothreads::Signal please_stop("please_stop of the module");
  return !please_stop;
}
