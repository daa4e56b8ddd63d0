#pragma once

#include <whisper.h>

/// Makes what comes out of a clip independent of the clips before it.
void knap_whisper_forget(whisper_state* state, int audio_ctx);
