# Compiler settings of the whole program: language level, warnings as errors, sanitizers, ccache and mold where present.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

find_program(KNAP_CCACHE ccache)
if(KNAP_CCACHE)
  # One cache serves every clone and build folder.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=1 ${KNAP_CCACHE})
endif()
find_program(KNAP_MOLD mold)
if(KNAP_MOLD)
  add_link_options(-fuse-ld=mold)
endif()

add_library(knap_warnings INTERFACE)
target_compile_options(knap_warnings INTERFACE
  -Wall -Wextra -Werror -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Wcast-qual -Wconversion
  -Wno-sign-conversion -Wno-missing-field-initializers -Wswitch)
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
  # GCC 12 warns falsely on std::string's operator+ (its bug 105651).
  target_compile_options(knap_warnings INTERFACE -Wno-restrict)
endif()
if(CMAKE_CXX_COMPILER_ID MATCHES Clang)
  target_compile_options(knap_warnings INTERFACE -Wthread-safety -Werror=thread-safety)
endif()

if(KNAP_SANITIZE)
  add_compile_options(-fsanitize=${KNAP_SANITIZE} -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${KNAP_SANITIZE})
  if(KNAP_SANITIZE MATCHES undefined)
    add_compile_options(-fno-sanitize-recover=undefined)
  endif()
  if(KNAP_SANITIZE MATCHES thread AND CMAKE_CXX_COMPILER_ID STREQUAL GNU)
    add_compile_options(-Wno-tsan)
  endif()
endif()
