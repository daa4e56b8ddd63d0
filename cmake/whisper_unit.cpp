// whisper.cpp and, in the same unit, what its interface lacks: a state as a fresh one would be.
#include "whisper.cpp"

#include "whisper_unit.h"

void knap_whisper_forget(whisper_state* state, int audio_ctx) {
  // Sampling goes on from where the clip before left the generators.
  for (int i = 0; i < WHISPER_MAX_DECODERS; ++i) state->decoders[i].rng = std::mt19937(i);
  // Detecting the language happens before the new length is taken over.
  state->exp_n_audio_ctx = audio_ctx;
  state->lang_id = 0;
}
