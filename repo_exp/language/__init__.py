"""Reading what people write: prices, words, scripts. Text in, plain values out."""
