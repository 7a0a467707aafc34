#version 460
#extension GL_GOOGLE_include_directive : require
#define WEIGHTS_F32
#include "cooperative.glsl"
